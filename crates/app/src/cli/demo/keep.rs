//! `--keep`: a wallet on disk and lines that a person can paste, while everything stays up.

use std::sync::Arc;

use farthing_client::Keystore;
use farthing_client::keystore::{KdfCost, KeyName, SecretHex};
use serde_json::json;

use super::world::World;
use crate::clock::SystemClock;
use crate::config::env;
use crate::error::CliError;
use crate::output::{Output, paint, style};

/// Opens a wallet that holds play money.
const PASSWORD: &str = "demo";

/// Prints lines to try.
pub fn invite(world: &World, output: Output) -> Result<(), CliError> {
    let home = world.directory.path();
    let key = SecretHex::parse(&hex::encode(*world.keys.agent.to_bytes()))?;
    let keystore = Keystore::new(home.join("wallets"), Arc::new(SystemClock)).with_cost(KdfCost::Light);
    keystore.import(&KeyName::new("agent")?, &key, PASSWORD)?;

    let (rpc, url) = (world.sandbox.url(), format!("http://{}/v1/weather?city=Rome", world.gateway));
    let program = env::program();
    let curl = format!("curl -i '{url}'");
    let mppx = format!("MPPX_PRIVATE_KEY={} MPPX_RPC_URL={rpc} npx mppx '{url}'", *key.reveal());
    let request = format!(
        "{}='{}' {}={PASSWORD} {program} request --rpc-url {rpc} '{url}'",
        env::HOME,
        home.display(),
        env::PASSWORD
    );
    if output.is_json() {
        return output.json(&json!({ "try": { "curl": curl, "mppx": mppx, "farthing": request } }));
    }
    output.line("")?;
    output.line(paint(style::TITLE, "Everything stays up. Try, in another terminal:"))?;
    for (what, line) in [
        ("what the gateway asks for", curl),
        ("pay it with Farthing", request),
        ("pay it with mppx, another client (needs Node)", mppx),
    ] {
        output.line(format_args!("\n  {}\n  {line}", paint(style::DIM, format_args!("# {what}"))))?;
    }
    output.line("")?;
    output.line("Ctrl-C stops it.")
}
