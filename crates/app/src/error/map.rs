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
use crate::output::one_line;

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
        Self::usage(error.code(), error.to_string())
    }
}

impl From<farthing_store::ledger::LedgerOpenError> for CliError {
    fn from(error: farthing_store::ledger::LedgerOpenError) -> Self {
        Self::usage(error.code(), error.to_string())
    }
}

impl From<farthing_billing::service::ServiceError> for CliError {
    fn from(error: farthing_billing::service::ServiceError) -> Self {
        Self::unexpected(error.code(), error.to_string())
    }
}

impl From<farthing_funding::drivers::FundingError> for CliError {
    fn from(error: farthing_funding::drivers::FundingError) -> Self {
        Self::usage(error.code(), error.to_string())
    }
}

impl From<farthing_funding::collect::CollectError> for CliError {
    fn from(error: farthing_funding::collect::CollectError) -> Self {
        use farthing_funding::collect::CollectError;
        let (code, message) = (error.code(), one_line(&error.to_string()));
        match error {
            CollectError::Rpc(error) => error.into(),
            CollectError::Wallet(error) => error.into(),
            CollectError::Billing(error) => error.into(),
            _ => Self::usage(code, message).help("nothing was sent"),
        }
    }
}

impl From<RpcError> for CliError {
    fn from(error: RpcError) -> Self {
        let (exit, help) = match &error {
            RpcError::BadUrl => {
                (Exit::Usage, "write the chain's JSON-RPC port as http://HOST or https://HOST")
            }
            RpcError::WrongChain { .. } => (
                Exit::Usage,
                "name the port of that chain with --rpc-url, or the chain that you mean with --chain-id",
            ),
            RpcError::Unavailable { .. } => (
                Exit::Network,
                "is the chain's JSON-RPC port right, and running? `farthing sandbox` starts a local one",
            ),
            _ => (Exit::Network, "try again; if it stays, try another JSON-RPC port with --rpc-url"),
        };
        // A node's words are a stranger's.
        Self::new(exit, error.code(), one_line(&error.to_string())).help(help)
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
        // A seller's words are a stranger's.
        let mut cli = Self::new(exit, error.code(), one_line(&error.to_string())).help(agent_help(&error));
        if let Some(payment) = error.payment() {
            cli = cli.details(json!({ "payment": payment.as_str(), "may_have_paid": error.may_have_paid() }));
        }
        cli
    }
}

fn agent_help(error: &AgentError) -> String {
    if let AgentError::VendorAnswerLost { payment, .. } = error {
        return format!(
            "look up what the vendor counted, then: farthing payments resolve {payment} --cost AMOUNT (or --charged, --not-charged)"
        );
    }
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
        let cli = Self::usage(error.code(), in_wallets(&error));
        match error {
            KeystoreError::Missing { .. } => {
                cli.help("farthing wallet list shows the wallets that there are")
            }
            KeystoreError::Exists { .. } => {
                cli.help("take another name, or remove it: farthing wallet remove NAME")
            }
            KeystoreError::WrongPassword { .. } => {
                cli.help("try again; without its password the wallet cannot be used")
            }
            _ => cli,
        }
    }
}

/// What happened, in the words of the command line: a keystore's key is a wallet here.
fn in_wallets(error: &KeystoreError) -> String {
    match error {
        KeystoreError::BadName { input } => format!(
            "{input:?} cannot name a wallet: use 1 to 128 letters, digits, `-`, `_` and `.`, beginning with a letter or a digit"
        ),
        KeystoreError::EmptyPassword => "a wallet needs a password: an empty one protects nothing".into(),
        KeystoreError::Exists { name } => {
            format!("there is a wallet named {name} already; it was left as it is")
        }
        KeystoreError::Missing { name, directory } => {
            format!("there is no wallet named {name} in {directory}")
        }
        KeystoreError::WrongPassword { name } => format!("the password does not open the wallet {name}"),
        KeystoreError::Damaged { name, why } => {
            format!("the file of the wallet {name} is damaged: {why}. Restore it from a copy")
        }
        KeystoreError::Unsupported { name, what } => {
            format!("the file of the wallet {name} uses {what}, which is not supported")
        }
        KeystoreError::NoAddress { name } => {
            format!("the file of the wallet {name} does not tell its address: unlock it to see it")
        }
        KeystoreError::Unlistable { path, why } => format!("the wallets in {path} cannot be listed: {why}"),
        // A private key is one here too, and a file is a file.
        other => other.to_string(),
    }
}

impl From<WalletError> for CliError {
    fn from(error: WalletError) -> Self {
        let (code, message) = (error.code(), one_line(&error.to_string()));
        match error {
            WalletError::Rpc(error) => error.into(),
            WalletError::Unknown { hash, .. } => Self::new(Exit::Unknown, code, message)
                .help(format!("do not send it again before you know what became of the transaction {hash}"))
                .details(json!({ "transaction": hash })),
            WalletError::Insufficient { .. } => Self::new(Exit::NotPaid, code, message)
                .help("nothing was sent; farthing wallet balance shows what there is"),
            WalletError::NotSent { .. } => Self::new(Exit::Network, code, message)
                .help("nothing was sent; is the chain's JSON-RPC port right, and running?"),
            _ => Self::new(Exit::NotPaid, code, message).help("nothing was sent"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use farthing_client::keystore::KeyName;

    use super::{AgentError, CliError, Exit, KeystoreError, RpcError, WalletError};

    #[test]
    fn a_chain_that_is_not_reached_is_the_network_whoever_asks() {
        let wrong = || RpcError::WrongChain { expected: 4217, given: 1 };
        let not_sent: CliError = WalletError::NotSent { why: "refused".into() }.into();
        assert_eq!((not_sent.exit, not_sent.code), (Exit::Network, "rpc_unavailable"));
        assert!(not_sent.help.is_some_and(|help| help.contains("nothing was sent")));
        let (asked, sending): (CliError, CliError) = (wrong().into(), WalletError::Rpc(wrong()).into());
        assert_eq!(asked, sending, "the same words, whoever asks");
    }

    #[test]
    fn a_key_is_told_as_a_wallet() {
        let name = KeyName::new("dev").unwrap();
        let cases = [
            KeystoreError::BadName { input: "../x".into() },
            KeystoreError::EmptyPassword,
            KeystoreError::Exists { name: name.clone() },
            KeystoreError::Missing { name: name.clone(), directory: "d".into() },
            KeystoreError::WrongPassword { name: name.clone() },
            KeystoreError::NoAddress { name },
            KeystoreError::Unlistable { path: "d".into(), why: "no".into() },
        ];
        for error in cases {
            let cli = CliError::from(error.clone());
            assert_eq!(cli.code, error.code());
            assert!(cli.message.contains("wallet") && !cli.message.contains("key"), "{cli}");
        }
    }

    #[test]
    fn a_strangers_line_break_ends_no_sentence_of_ours() {
        let error = AgentError::Unreadable { why: "it is\nerror: \u{1b}[2Jfine\u{202e}".into() };
        let cli = CliError::from(error);
        assert!(cli.message.chars().all(farthing_client::text::is_plain), "{cli:?}");
    }
}
