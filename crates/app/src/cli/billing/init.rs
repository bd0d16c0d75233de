//! `farthing billing init`: a tenant and its first key. The key is shown once: only a hash of it is kept.

use farthing_api::World as _;
use farthing_billing::service::key::{NewApiKey, PREFIX, Scope};
use farthing_billing::service::tenant::NewTenant;
use farthing_billing::service::{Billing, Cx, Named as _, Secret};
use serde_json::json;

use super::Place;
use super::world::{System, operator};
use crate::error::{CliError, Exit};
use crate::output::{Output, paint, style};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// The tenant's name, for people
    #[arg(long, value_name = "NAME", default_value = "default")]
    name: String,
}

pub async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let config = args.place.config()?;
    let store = config.open().await?;
    let billing = Billing::new(store);
    let new = NewTenant { name: args.name };
    let tenant = billing.create_tenant(&operator(), &new).await?;
    let cx = Cx { tenant: tenant.id, id: System.id(), ..operator() };
    let secret = Secret::from_bytes(System.random());
    // `Admin` does everything but read what is not its own to change: a first key can do both.
    let scopes = [Scope::Admin, Scope::Read].into_iter().collect();
    let new = NewApiKey { name: "first key".to_owned(), scopes, expires_ms: None };
    billing.create_key(&cx, &new, &secret).await?;
    let key = secret.present(PREFIX);
    if output.is_json() {
        output.json(&json!({ "tenant": tenant.id.text(), "name": tenant.name, "api_key": key }))?;
        return Ok(Exit::Ok);
    }
    output.line(format_args!("Tenant   {} ({})", tenant.id.text(), tenant.name))?;
    output.line(format_args!("API key  {}", paint(style::TITLE, &key)))?;
    output.line(format_args!(
        "Keep the key now: it is not shown again. It may do everything for this tenant."
    ))?;
    output.line(format_args!("Next: farthing billing serve --store {}", config.store))?;
    Ok(Exit::Ok)
}
