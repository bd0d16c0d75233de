//! `farthing man`: man pages, from the same definition as `--help`.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_mangen::Man;
use serde_json::json;

use crate::error::{CliError, Exit};
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  farthing man | man -l -
  farthing man wallet new | man -l -
  farthing man --dir ~/.local/share/man/man1")]
pub struct Args {
    /// The command whose page is printed, such as `wallet new`; else the first page
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    command: Vec<String>,
    /// Write the pages of every command into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub fn run(args: &Args, output: Output) -> Result<Exit, CliError> {
    let mut all = super::Cli::command().disable_help_subcommand(true);
    all.build();
    match &args.dir {
        Some(dir) => write_all(&all, dir, output)?,
        None => print(&all, &args.command, output)?,
    }
    Ok(Exit::Ok)
}

fn print(all: &clap::Command, path: &[String], output: Output) -> Result<(), CliError> {
    let mut command = all;
    for name in path {
        command = command.find_subcommand(name).ok_or_else(|| {
            CliError::usage("usage", format!("there is no command {}", path.join(" ")))
                .help("see farthing --help")
        })?;
    }
    let (name, text) = page(command)?;
    if output.is_json() {
        return output.json(&json!({ "page": name, "roff": String::from_utf8_lossy(&text) }));
    }
    output.bytes(&text)
}

/// The file's name and the page.
fn page(command: &clap::Command) -> Result<(String, Vec<u8>), CliError> {
    let man =
        Man::new(command.clone()).manual("Farthing").source(concat!("farthing ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render(&mut text).map_err(|error| CliError::unexpected("output", error.to_string()))?;
    Ok((man.get_filename(), text))
}

fn write_all(all: &clap::Command, dir: &Path, output: Output) -> Result<(), CliError> {
    std::fs::create_dir_all(dir).map_err(|error| CliError::file("make", dir, &error))?;
    let mut written = Vec::new();
    let mut open = vec![all];
    while let Some(command) = open.pop() {
        open.extend(command.get_subcommands().filter(|command| !command.is_hide_set()));
        let (name, text) = page(command)?;
        let path = dir.join(&name);
        std::fs::write(&path, text).map_err(|error| CliError::file("write", &path, &error))?;
        written.push(name);
    }
    written.sort();
    if output.is_json() {
        return output.json(&json!({ "directory": dir, "pages": written }));
    }
    output.line(format_args!("{} pages in {}", written.len(), dir.display()))
}
