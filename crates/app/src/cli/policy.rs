//! `farthing policy`: the file that says what may be paid: making one, checking it, showing what is left of each limit, and
//! what it says to a URL. Nothing here pays, or calls anybody.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use url::Url;

use crate::error::{CliError, Exit};
use crate::output::{Output, paint, style};
use crate::wire::policy::{self, Naming};

pub mod explain;
mod recount;
mod show;

/// The policy that `policy init` writes.
pub const EXAMPLE: &str = include_str!("../help/policy.toml");

const EXAMPLES: &str = "Examples:
  farthing policy init                   write one to start from
  farthing policy check agent.toml
  farthing policy show                   the limits, and what is left of them
  farthing policy explain https://api.example.com/report";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The policy file; policy.toml in Farthing's directory otherwise
    #[arg(long, value_name = "FILE", global = true)]
    policy: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell every mistake in a policy file, with its line
    Check {
        /// Which file
        file: Option<PathBuf>,
    },
    /// Show the rules, and what is left of each limit
    Show,
    /// Write a commented policy to start from; one that is there is left alone
    Init {
        /// Print it instead
        #[arg(long)]
        print: bool,
    },
    /// Say what the policy would do at a URL, without calling it
    Explain {
        /// Which URL; https:// when nothing else is written
        #[arg(value_parser = super::request::args::url)]
        url: Url,
    },
    /// Count again what was spent, from the payment journal: after a spend book was lost, or limits were added
    Recount,
}

pub fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let named = args.policy.as_deref();
    match args.command {
        Command::Check { file } => check(file.as_deref().or(named), output)?,
        Command::Show => show::run(named, output)?,
        Command::Init { print: true } => print_example(output)?,
        Command::Init { print: false } => init(named, output)?,
        Command::Explain { url } => return explain::run(named, &url, output),
        Command::Recount => recount::run(named, output)?,
    }
    Ok(Exit::Ok)
}

/// The policy that is there, or why there is none.
fn loaded(named: Option<&Path>) -> Result<policy::Loaded, CliError> {
    policy::load(named)?.ok_or_else(|| {
        let place = policy::location(None)
            .map_or_else(|_| "policy.toml".to_owned(), |(path, _)| path.display().to_string());
        CliError::usage("no_policy", format!("there is no policy file: {place}"))
            .help("make one with: farthing policy init. Without one, a call pays at most 0.10 (--max-spend)")
    })
}

fn check(named: Option<&Path>, output: Output) -> Result<(), CliError> {
    let loaded = loaded(named)?;
    let (file, warnings) = (loaded.file.path.display().to_string(), &loaded.file.warnings);
    if output.is_json() {
        return output.json(&json!({ "file": file, "right": true, "warnings": warnings }));
    }
    for warning in warnings {
        output.warn(warning);
    }
    output.line(format_args!("{} {file}", paint(style::GOOD, "right:")))
}

fn print_example(output: Output) -> Result<(), CliError> {
    if output.is_json() { output.json(&json!({ "toml": EXAMPLE })) } else { output.bytes(EXAMPLE.as_bytes()) }
}

fn init(named: Option<&Path>, output: Output) -> Result<(), CliError> {
    let (path, naming) = policy::location(named)?;
    let failed = |error: std::io::Error| {
        let cli = CliError::file("write", &path, &error);
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                cli.help("it was left as it is; see what an example looks like: farthing policy init --print")
            }
            _ => cli,
        }
    };
    if naming == Naming::Usual
        && let Some(parent) = path.parent()
    {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.write(true).create_new(true).open(&path).map_err(failed)?;
    file.write_all(EXAMPLE.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    if output.is_json() {
        return output.json(&json!({ "file": path }));
    }
    output.note(format_args!("{} {}", paint(style::GOOD, "wrote"), path.display()));
    output.note("Change it to what you want to allow, then: farthing policy check");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::EXAMPLE;
    use crate::config::policy::PolicyFile;

    #[test]
    fn the_example_is_right() {
        let read = PolicyFile::parse(Path::new("policy.toml"), EXAMPLE);
        assert!(read.as_ref().is_ok_and(|file| file.warnings.is_empty()), "{read:?}");
    }
}
