//! Making, importing, listing, showing and removing keys.

use std::io::{IsTerminal, Read};
use std::path::Path;

use anstyle::Style;
use farthing_client::Keystore;
use farthing_client::keystore::{KeyInfo, KeyName, SecretHex};
use serde_json::json;
use zeroize::Zeroizing;

use super::ImportArgs;
use crate::cli::confirm::{Consent, confirm};
use crate::cli::password::{self, PasswordArgs};
use crate::config::secret::read_secret;
use crate::error::CliError;
use crate::output::{Align, Output, Table, paint, style};
use crate::wire::wallets;

pub fn create(
    keystore: &Keystore,
    name: &str,
    password: &PasswordArgs,
    output: Output,
) -> Result<(), CliError> {
    let name = KeyName::new(name)?;
    refuse_existing(keystore, &name)?;
    let password = password.fresh(name.as_str())?;
    let info = keystore.create(&name, &password)?;
    made("made", keystore, &info, output)
}

pub fn import(keystore: &Keystore, args: &ImportArgs, output: Output) -> Result<(), CliError> {
    if args.key.is_some() {
        return Err(CliError::usage(
            "key_on_command_line",
            "a private key is not taken from the command line: other processes can see it, and the shell keeps it in its history",
        )
        .help("put it into a file and use --key-file FILE, pipe it in, or type it at the prompt. This key has been exposed now: if it holds money, move it"));
    }
    let name = KeyName::new(&args.name)?;
    refuse_existing(keystore, &name)?;
    let key = read_key(args.key_file.as_deref(), &name)?;
    let key = SecretHex::parse(&key)?;
    let password = args.password.fresh(name.as_str())?;
    let info = keystore.import(&name, &key, &password)?;
    made("imported", keystore, &info, output)
}

/// Before a password is asked for.
fn refuse_existing(keystore: &Keystore, name: &KeyName) -> Result<(), CliError> {
    match keystore.info(name) {
        Err(farthing_client::KeystoreError::Missing { .. }) => Ok(()),
        _ => Err(farthing_client::KeystoreError::Exists { name: name.clone() }.into()),
    }
}

fn read_key(file: Option<&Path>, name: &KeyName) -> Result<Zeroizing<String>, CliError> {
    match file {
        Some(path) if path != Path::new("-") => {
            read_secret(path).map_err(|error| CliError::file("read the key file", path, &error))
        }
        None if std::io::stdin().is_terminal() => {
            password::prompt(&format!("Private key of {name} (not shown): "))
        }
        _ => {
            let mut key = Zeroizing::new(String::new());
            let read = std::io::stdin().take(4096).read_to_string(&mut key);
            read.map_err(|error| CliError::file("read", Path::new("standard input"), &error))?;
            Ok(key)
        }
    }
}

fn made(verb: &str, keystore: &Keystore, info: &KeyInfo, output: Output) -> Result<(), CliError> {
    let file = keystore.directory().join(info.name.as_str());
    if output.is_json() {
        return output.json(&json!({ "name": info.name.as_str(), "address": address(info), "file": file }));
    }
    output.note(format_args!("{} wallet {} in {}", paint(style::GOOD, verb), info.name, file.display()));
    output.note("The password cannot be recovered, and without it neither can the key. Keep a copy of both.");
    output.line(address(info).unwrap_or_default())
}

fn address(info: &KeyInfo) -> Option<String> {
    info.address.map(|address| address.to_string())
}

pub fn list(keystore: &Keystore, output: Output) -> Result<(), CliError> {
    let listed = keystore.list()?;
    if output.is_json() {
        let wallets: Vec<_> = listed
            .iter()
            .map(|key| match &key.info {
                Ok(info) => json!({
                    "name": key.name.as_str(), "address": address(info),
                    "created": info.created.map(|at| at.to_string()),
                }),
                Err(error) => {
                    let error = CliError::from(error.clone());
                    json!({ "name": key.name.as_str(), "error": { "code": error.code, "message": error.message } })
                }
            })
            .collect();
        return output.json(&json!({ "directory": keystore.directory(), "wallets": wallets }));
    }
    if listed.is_empty() {
        output.note("there is no wallet yet; make one with: farthing wallet new NAME");
        return Ok(());
    }
    let mut table = Table::default();
    for key in &listed {
        let (text, style) = match &key.info {
            Ok(info) => (address(info).unwrap_or_else(|| "address not in the file".into()), Style::new()),
            Err(error) => (CliError::from(error.clone()).message, style::BAD),
        };
        table.row([(key.name.to_string(), style::TITLE, Align::Left), (text, style, Align::Left)]);
    }
    table.lines().into_iter().try_for_each(|line| output.line(line))
}

fn address_text(
    keystore: &Keystore,
    name: Option<&str>,
    password: &PasswordArgs,
) -> Result<(KeyInfo, String), CliError> {
    let info = wallets::pick(keystore, name)?;
    let text = match address(&info) {
        Some(text) => text,
        None => wallets::unlock(keystore, &info.name, password)?.address().to_string(),
    };
    Ok((info, text))
}

pub fn show_address(
    keystore: &Keystore,
    name: Option<&str>,
    password: &PasswordArgs,
    output: Output,
) -> Result<(), CliError> {
    let (info, text) = address_text(keystore, name, password)?;
    if output.is_json() {
        return output.json(&json!({ "name": info.name.as_str(), "address": text }));
    }
    output.line(text)
}

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exported {
    /// The key.
    Plain,
    /// The encrypted file.
    Encrypted,
}

/// How to export.
#[derive(Debug)]
pub struct Export {
    /// What.
    pub what: Exported,
    /// Whether to ask.
    pub consent: Consent,
    /// The wallet's password.
    pub password: PasswordArgs,
}

pub fn export(keystore: &Keystore, name: Option<&str>, how: &Export, output: Output) -> Result<(), CliError> {
    let info = wallets::pick(keystore, name)?;
    if how.what == Exported::Encrypted {
        let file = keystore.export_encrypted(&info.name)?;
        return output.bytes(format!("{}\n", file.trim_end()).as_bytes());
    }
    output.warn(format_args!(
        "whoever sees the private key of {} can take everything that it holds, now and later",
        info.name
    ));
    confirm("Show it?", how.consent)?;
    let password = how.password.existing(info.name.as_str())?;
    let key = keystore.export(&info.name, &password)?.reveal();
    if output.is_json() {
        return output
            .json(&json!({ "name": info.name.as_str(), "address": address(&info), "private_key": *key }));
    }
    output.line(&*key)
}

pub fn remove(keystore: &Keystore, name: &str, consent: Consent, output: Output) -> Result<(), CliError> {
    let info = keystore.info(&KeyName::new(name)?);
    // A damaged file can be removed too; one that is not there cannot.
    if let Err(error @ farthing_client::KeystoreError::Missing { .. }) = info {
        return Err(error.into());
    }
    let shown = info.ok().as_ref().and_then(address).unwrap_or_default();
    output.warn(format_args!("without a copy of its key, what {name} {shown} holds is lost for good"));
    confirm(&format!("Remove {name}?"), consent)?;
    keystore.remove(&KeyName::new(name)?)?;
    if output.is_json() {
        return output.json(&json!({ "removed": name }));
    }
    output.note(format_args!("removed {name}"));
    Ok(())
}
