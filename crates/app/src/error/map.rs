//! From the typed errors of the crates below to what a person reads. Every message of theirs already says what happened;
//! here comes the exit code, and what to do next.

use farthing_client::journal::JournalError;
use farthing_client::{AgentError, FailureClass, KeystoreError, PolicyError};
use farthing_protocol::ports::PayError;
use farthing_rails::tempo::{KeyError, RpcError, WalletError};
use farthing_sandbox::SandboxError;
use farthing_store::OpenError;
use serde_json::json;

use super::{CliError, Exit};

impl From<SandboxError> for CliError {
    fn from(error: SandboxError) -> Self {
        Self::usage(error.code(), error.to_string())
    }
}

impl From<&JournalError> for CliError {
    fn from(error: &JournalError) -> Self {
        Self::unexpected(error.code(), error.to_string())
    }
}

impl From<PolicyError> for CliError {
    fn from(error: PolicyError) -> Self {
        Self::usage(error.code(), error.to_string())
    }
}

impl From<KeyError> for CliError {
    fn from(error: KeyError) -> Self {
        Self::usage(error.code(), error.to_string())
    }
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        Self::usage("store", error.to_string())
    }
}

impl From<RpcError> for CliError {
    fn from(error: RpcError) -> Self {
        let (exit, help) = match &error {
            RpcError::BadUrl => (Exit::Usage, "write the chain's JSON-RPC port as http://HOST or https://HOST"),
            RpcError::WrongChain { .. } => {
                (Exit::Usage, "name the port of that chain with --rpc-url, or the chain that you mean with --chain-id")
            }
            RpcError::Unavailable { .. } => {
                (Exit::Network, "is the chain's JSON-RPC port right, and running? `farthing sandbox` starts a local one")
            }
            _ => (Exit::Network, "try again; if it stays, try another JSON-RPC port with --rpc-url"),
        };
        Self::new(exit, error.code(), error.to_string()).help(help)
    }
}

impl From<AgentError> for CliError {
    fn from(error: AgentError) -> Self {
        let exit = match error.class() {
            FailureClass::Usage => Exit::Usage,
            FailureClass::Network => Exit::Network,
            FailureClass::Refused => Exit::Refused,
            FailureClass::NotPaid => Exit::NotPaid,
            FailureClass::NotServed => Exit::NotServed,
            FailureClass::Unknown => Exit::Unknown,
        };
        let mut cli = Self::new(exit, error.code(), error.to_string()).help(agent_help(&error));
        if let Some(payment) = error.payment() {
            cli = cli.details(json!({ "payment": payment.as_str(), "may_have_paid": error.may_have_paid() }));
        }
        cli
    }
}

fn agent_help(error: &AgentError) -> String {
    if let Some(payment) = error.payment().filter(|_| error.may_have_paid()) {
        return format!("see what became of it: farthing payments {payment}");
    }
    match error {
        AgentError::NotPaid { error, .. } => match &**error {
            PayError::Insufficient { payer, .. } => {
                format!("put money on {payer}: farthing wallet fund (play money), or send it some")
            }
            _ => "see what is asked for, without paying: add --dry-run".into(),
        },
        AgentError::Network { .. } => "check the address, and that something listens there".into(),
        AgentError::Refused(_) => "see what is asked for, without paying: add --dry-run".into(),
        AgentError::Usage { .. } => "see farthing request --help".into(),
        _ => "see what is asked for, without paying: add --dry-run; or the whole exchange: add -v".into(),
    }
}

impl From<KeystoreError> for CliError {
    fn from(error: KeystoreError) -> Self {
        let cli = Self::usage(error.code(), error.to_string());
        match error {
            KeystoreError::Missing { .. } => cli.help("farthing wallet list shows the wallets that there are"),
            KeystoreError::Exists { .. } => cli.help("take another name, or remove it: farthing wallet remove NAME"),
            KeystoreError::WrongPassword { .. } => cli.help("try again; without the password the key cannot be had"),
            _ => cli,
        }
    }
}

impl From<WalletError> for CliError {
    fn from(error: WalletError) -> Self {
        let (code, message) = (error.code(), error.to_string());
        match error {
            WalletError::Rpc(error) => error.into(),
            WalletError::Unknown { hash, .. } => Self::new(Exit::Unknown, code, message)
                .help(format!("do not send it again before you know what became of the transaction {hash}"))
                .details(json!({ "transaction": hash })),
            WalletError::Insufficient { .. } => {
                Self::new(Exit::NotPaid, code, message).help("nothing was sent; farthing wallet balance shows what there is")
            }
            _ => Self::new(Exit::NotPaid, code, message).help("nothing was sent"),
        }
    }
}
