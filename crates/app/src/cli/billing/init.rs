//! `farthing billing init`: a tenant and its first key. The key is shown once: only a hash of it is kept.

use farthing_api::World as _;
use farthing_billing::service::key::{NewApiKey, PREFIX, Scope};
use farthing_billing::service::tenant::NewTenant;
use farthing_billing::service::{Billing, Cx, Named as _, Secret};
use farthing_store::PgUrl;
use serde_json::json;

use super::Place;
use super::world::{System, operator};
use crate::cli::payments::quoted;
use crate::config::env;
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
    let (command, hides_password) = next(&args.place);
    if hides_password {
        output.line(format_args!(
            "Put the database's password into {}: it is not shown here.",
            env::STORE_PASSWORD
        ))?;
    }
    output.line(format_args!("Next: {command}"))?;
    Ok(Exit::Ok)
}

/// What serves what was made, to be pasted; and whether the store's password had to be left out of it.
fn next(place: &Place) -> (String, bool) {
    const SERVE: &str = "farthing billing serve";
    if let Some(file) = &place.config {
        return (format!("{SERVE} --config {}", quoted(&file.display().to_string())), false);
    }
    let Some(store) = &place.store else { return (SERVE.to_owned(), false) };
    let shown = if PgUrl::is_one(store) { PgUrl::without_password(store) } else { Some(store.clone()) };
    // What cannot be read without it is not shown at all.
    let shown = shown.unwrap_or_else(|| "URL".to_owned());
    (format!("{SERVE} --store {}", quoted(&shown)), shown != *store)
}

#[cfg(test)]
mod tests {
    use super::{Place, next};

    #[test]
    fn what_comes_next_can_be_pasted_and_shows_no_password() {
        let store = |text: &str| Place { store: Some(text.to_owned()), config: None };
        let config = Place { store: None, config: Some("my billing.toml".into()) };
        for (place, expected, hides) in [
            (Place { store: None, config: None }, "farthing billing serve", false),
            (config, "farthing billing serve --config 'my billing.toml'", false),
            (store("books.db"), "farthing billing serve --store books.db", false),
            (
                store("postgres://me@localhost/books"),
                "farthing billing serve --store postgres://me@localhost/books",
                false,
            ),
            (
                store("postgres://me:canary@localhost/books?sslmode=disable"),
                "farthing billing serve --store 'postgres://me@localhost/books?sslmode=disable'",
                true,
            ),
        ] {
            assert_eq!(next(&place), (expected.to_owned(), hides));
        }
    }
}
