//! The policy that a command pays within: the person's file, narrowed by the command line.

use std::fs;
use std::path::{Path, PathBuf};

use farthing_client::policy::{At, Limit, Source, Span};
use farthing_client::spend::{RunBook, Window};
use farthing_client::{FileBook, Policy};
use farthing_rails::tempo::{network, tokens};

use super::journal;
use crate::cli::network::Reach;
use crate::cli::request::args::{DEFAULT_MAX_SPEND, PayingArgs};
use crate::config::approvals::Approvals;
use crate::config::policy::{self, PolicyFile};
use crate::config::{env, token};
use crate::error::{CliError, Exit};

/// The policy's file in Farthing's directory.
const POLICY: &str = "policy.toml";
/// The spend book's file in Farthing's directory.
const BOOK: &str = "spend.json";

/// A policy file, with the hosts that were approved.
#[derive(Debug)]
pub struct Loaded {
    /// The file.
    pub file: PolicyFile,
    /// The hosts that a person has approved.
    pub approvals: Approvals,
    /// The policy that both make.
    pub policy: Policy,
}

/// What `--max-spend` adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cap {
    /// One call.
    Call,
    /// Every call of this process.
    Run,
}

/// Where the policy file is looked for, and whether a person has named it.
///
/// # Errors
/// When there is no directory of Farthing's to be had.
pub fn location(named: Option<&Path>) -> Result<(PathBuf, Naming), CliError> {
    if let Some(path) = named {
        return Ok((path.to_owned(), Naming::Named));
    }
    if let Some(path) = env::read(env::POLICY) {
        return Ok((PathBuf::from(path), Naming::Named));
    }
    Ok((env::home()?.join(POLICY), Naming::Usual))
}

/// Whether a file has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// Somebody said which one is meant.
    Named,
    /// It is the usual place, where there may be none.
    Usual,
}

/// The policy file that applies; none where there is none in the usual place.
///
/// # Errors
/// A file that was named and is not there, or one that is wrong.
pub fn load(named: Option<&Path>) -> Result<Option<Loaded>, CliError> {
    let (path, naming) = location(named)?;
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && naming == Naming::Usual => {
            return Ok(None);
        }
        Err(error) => {
            return Err(CliError::file("read the policy", &path, &error)
                .help("name another with --policy FILE, or make one with: farthing policy init"));
        }
    };
    let file = PolicyFile::parse(&path, &text).map_err(mistaken)?;
    let approvals = Approvals::beside(&path);
    let mut builder = file.builder.clone();
    for host in approvals.hosts()? {
        builder = builder.approved_host(&host)?;
    }
    Ok(Some(Loaded { policy: builder.build(), file, approvals }))
}

/// Everything that is wrong with a policy file.
pub fn mistaken(error: crate::config::fault::ConfigError) -> CliError {
    CliError::from(error)
        .help("nothing is paid before it is right: farthing policy check; `farthing policy init --print` prints one that works")
}

/// The policy of a command: the file's, which the command line only ever narrows, or the command line's alone.
///
/// # Errors
/// Arguments that do not read.
pub fn of(
    paying: &PayingArgs,
    loaded: Option<&Loaded>,
    chains: &[Reach],
    cap: Cap,
) -> Result<Policy, CliError> {
    let command_line = command_line(paying, loaded, chains, cap)?;
    Ok(match loaded {
        Some(loaded) => loaded.policy.clone().narrowed_by(command_line),
        None => command_line,
    })
}

fn command_line(
    paying: &PayingArgs,
    loaded: Option<&Loaded>,
    chains: &[Reach],
    cap: Cap,
) -> Result<Policy, CliError> {
    let mut policy = policy::dollars(Policy::builder().source(Source::CommandLine));
    for reach in chains {
        for token in token::dollars(reach.chain_id) {
            policy = policy.dollar_token(&network(reach.chain_id), &tokens::lower(token));
        }
    }
    let usual = loaded.is_none().then_some(DEFAULT_MAX_SPEND);
    if let Some(text) = paying.max_spend.as_deref().or(usual) {
        let (span, at) = match cap {
            Cap::Call => (Span::Call, At::Everywhere),
            Cap::Run => (Span::Within(Window::Total), At::ThisRun),
        };
        policy = policy.limit(span, at, Limit::parse(text)?);
    }
    for host in &paying.allow_host {
        policy = policy.allow_host(host)?;
    }
    for recipient in &paying.allow_recipient {
        policy = policy.allow_recipient(&tokens::lower(*recipient));
    }
    for realm in &paying.allow_realm {
        policy = policy.allow_realm(realm);
    }
    if paying.allow_plaintext {
        policy = policy.allow_plaintext();
    }
    Ok(policy.build())
}

/// The spend book in Farthing's directory.
///
/// # Errors
/// When there is no such directory to be had.
pub fn book() -> Result<FileBook, CliError> {
    Ok(FileBook::new(env::home()?.join(BOOK)).witnessed_by(journal::path()?))
}

/// The same, with counters of this process's own.
///
/// # Errors
/// When there is no such directory to be had.
pub fn run_book() -> Result<RunBook<FileBook>, CliError> {
    Ok(RunBook::new(book()?))
}

impl From<farthing_client::SpendError> for CliError {
    fn from(error: farthing_client::SpendError) -> Self {
        Self::new(Exit::Unexpected, error.code(), error.to_string())
    }
}
