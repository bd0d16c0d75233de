//! Where the seed comes from: a file that its owner alone can read, standard input, or a person. It is never an argument, and
//! never shown.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use farthing_funding::deposit::keys::DepositSeed;
use farthing_funding::drivers::DepositConfig;
use zeroize::Zeroizing;

use crate::cli::password;
use crate::config::secret::read_secret;
use crate::error::CliError;
use crate::output::can_ask;
use crate::private_file;

/// The longest seed that is read: a phrase of 24 words is shorter.
const MOST: u64 = 4_096;

/// Reads the seed, and checks that it is the one of the configured key.
pub fn read(file: Option<&Path>, deposits: &DepositConfig) -> Result<DepositSeed, CliError> {
    let text = text(file)?;
    let seed = DepositSeed::from_text(&text).map_err(|error| {
        CliError::usage(error.code(), error.to_string())
            .help("nothing was sent; give the seed that the xpub was made from")
    })?;
    deposits.keys.check_seed(&seed).map_err(|error| {
        CliError::usage(error.code(), error.to_string()).help(
            "nothing was sent; look for the seed whose m/44'/60'/0'/0/0 is the expected address, or at a mistyped word. A phrase \
             with a passphrase is given as the 64 bytes of its seed",
        )
    })?;
    Ok(seed)
}

fn text(file: Option<&Path>) -> Result<Zeroizing<String>, CliError> {
    match file {
        Some(path) if path == Path::new("-") => {
            let mut text = Zeroizing::new(String::new());
            if std::io::stdin().is_terminal() {
                return password::prompt("Seed of the deposit addresses (not shown): ");
            }
            let read = std::io::stdin().take(MOST).read_to_string(&mut text);
            read.map_err(|error| CliError::file("read", Path::new("standard input"), &error))?;
            Ok(text)
        }
        Some(path) => {
            if private_file::is_exposed(path) {
                let path = path.display();
                let message = format!(
                    "others on this machine can read {path}, and with it take what lies at every deposit address"
                );
                return Err(CliError::usage("seed_exposed", message).help(format!(
                    "nothing was sent; run: chmod 600 {path}. If somebody may have read it, move the money to a new seed's addresses"
                )));
            }
            read_secret(path).map_err(|error| CliError::file("read the seed", path, &error))
        }
        None if can_ask() => password::prompt("Seed of the deposit addresses (not shown): "),
        None => Err(CliError::usage(
            "seed_missing",
            "the seed of the deposit addresses is needed, and there is no terminal to ask on",
        )
        .help("give it with --seed-file FILE, or - for standard input; --dry-run needs none")),
    }
}
