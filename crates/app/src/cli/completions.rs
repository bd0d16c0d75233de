//! `farthing completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::error::{CliError, Exit};
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  farthing completions bash > ~/.local/share/bash-completion/completions/farthing"
)]
pub struct Args {
    /// Which shell
    shell: Shell,
}

pub fn run(args: &Args, output: Output) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "farthing", &mut script);
    output.bytes(&script)?;
    Ok(Exit::Ok)
}
