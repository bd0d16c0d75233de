//! Where a wallet's password comes from: a file, the environment, or a person. It is never an argument, and never shown.

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::config::env;
use crate::config::secret::read_secret;
use crate::error::CliError;
use crate::output::{can_ask, one_line};

#[derive(Debug, Clone, Default, clap::Args)]
pub struct PasswordArgs {
    /// Read the wallet's password from this file (else FARTHING_PASSWORD, else a prompt)
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

impl PasswordArgs {
    /// Whether a person would have to be asked.
    pub fn asks(&self) -> bool {
        self.password_file.is_none() && env::read(env::PASSWORD).is_none()
    }

    /// The password of a wallet that exists.
    ///
    /// # Errors
    /// When there is none and nobody to ask.
    pub fn existing(&self, wallet: &str) -> Result<Zeroizing<String>, CliError> {
        match self.given()? {
            Some(password) => Ok(password),
            None => prompt(&format!("Password of wallet {wallet}: ")),
        }
    }

    /// The password of a wallet that is being made: a person is asked twice.
    ///
    /// # Errors
    /// When there is none and nobody to ask, when it is empty, and when the two differ.
    pub fn fresh(&self, wallet: &str) -> Result<Zeroizing<String>, CliError> {
        let password = match self.given()? {
            Some(password) => password,
            None => {
                let first = prompt(&format!("New password for wallet {wallet}: "))?;
                if *first != *prompt("The same again: ")? {
                    return Err(CliError::usage("password_mismatch", "the two passwords differ")
                        .help("nothing was made; try again"));
                }
                first
            }
        };
        if password.is_empty() {
            return Err(CliError::usage("password_empty", "the password is empty")
                .help("whoever can read the wallet's file could spend from it; choose a password"));
        }
        Ok(password)
    }

    fn given(&self) -> Result<Option<Zeroizing<String>>, CliError> {
        if let Some(path) = &self.password_file {
            return read_secret(path)
                .map(Some)
                .map_err(|error| CliError::file("read the password file", path, &error));
        }
        Ok(env::read(env::PASSWORD).map(Zeroizing::new))
    }
}

/// Asks a person, without showing what is typed.
pub fn prompt(question: &str) -> Result<Zeroizing<String>, CliError> {
    if !can_ask() {
        return Err(CliError::usage(
            "password_missing",
            "a password is needed, and there is no terminal to ask on",
        )
        .help(format!(
            "give it with --password-file FILE, or in the environment variable {}",
            env::PASSWORD
        )));
    }
    rpassword::prompt_password(one_line(question))
        .map(Zeroizing::new)
        .map_err(|error| CliError::usage("password_missing", format!("cannot read the password: {error}")))
}
