//! `--keep`: a wallet on disk and lines that a person can paste, while everything stays up.

use std::sync::Arc;

use farthing_client::Keystore;
use farthing_client::keystore::{KdfCost, KeyName, SecretHex};
use serde_json::{Value, json};

use super::world::World;
use crate::clock::SystemClock;
use crate::config::env;
use crate::error::CliError;
use crate::output::{Output, paint, style};

/// Opens a wallet that holds play money.
const PASSWORD: &str = "demo";

/// Lines to try.
pub struct Invitation {
    curl: String,
    request: String,
    mppx: String,
}

impl Invitation {
    /// Puts the agent's key into a wallet on disk, so that the lines work.
    ///
    /// # Errors
    /// When the wallet cannot be made.
    pub fn prepare(world: &World) -> Result<Self, CliError> {
        let home = world.directory.path();
        let key = SecretHex::parse(&hex::encode(*world.keys.agent.to_bytes()))?;
        let keystore = Keystore::new(home.join("wallets"), Arc::new(SystemClock)).with_cost(KdfCost::Light);
        keystore.import(&KeyName::new("agent")?, &key, PASSWORD)?;
        let (rpc, url) = (world.sandbox.url(), format!("http://{}/v1/weather?city=Rome", world.gateway));
        let purse = format!("{}='{}' {}={PASSWORD}", env::HOME, home.display(), env::PASSWORD);
        Ok(Self {
            curl: format!("curl -i '{url}'"),
            request: format!("{purse} '{}' request --rpc-url {rpc} '{url}'", env::program()),
            mppx: format!("MPPX_PRIVATE_KEY={} MPPX_RPC_URL={rpc} npx mppx '{url}'", *key.reveal()),
        })
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        json!({ "curl": self.curl, "farthing": self.request, "mppx": self.mppx })
    }

    /// For people.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn print(&self, output: Output) -> Result<(), CliError> {
        output.line("")?;
        output.line(paint(style::TITLE, "Everything stays up. Try, in another terminal:"))?;
        for (what, line) in [
            ("what the gateway asks for", &self.curl),
            ("pay it with Farthing", &self.request),
            ("pay it with mppx, another client (needs Node)", &self.mppx),
        ] {
            output.line(format_args!("\n  {}\n  {line}", paint(style::DIM, format_args!("# {what}"))))?;
        }
        output.line("")?;
        output.line("Ctrl-C stops it.")
    }
}
