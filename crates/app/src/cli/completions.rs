//! `farthing completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use crate::error::{CliError, Exit};
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  farthing completions bash > ~/.local/share/bash-completion/completions/farthing
  farthing completions zsh > ~/.zfunc/_farthing          with fpath=(~/.zfunc $fpath) before compinit
  farthing completions fish > ~/.config/fish/completions/farthing.fish
  farthing completions powershell >> $PROFILE
  farthing completions elvish >> ~/.config/elvish/rc.elv")]
pub struct Args {
    /// Which shell
    shell: Shell,
}

pub fn run(args: &Args, output: Output) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "farthing", &mut script);
    if output.is_json() {
        let shell = args.shell.to_string();
        output.json(&json!({ "shell": shell, "script": String::from_utf8_lossy(&script) }))?;
    } else {
        output.bytes(&script)?;
    }
    Ok(Exit::Ok)
}
