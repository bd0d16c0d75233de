//! `farthing wallet send`.

use farthing_client::Keystore;
use farthing_money::Money;
use farthing_protocol::ports::Clock;
use farthing_rails::tempo::{Transfer, Wallet};
use serde_json::json;

use super::SendArgs;
use crate::cli::confirm::confirm;
use crate::clock::SystemClock;
use crate::config::token;
use crate::error::CliError;
use crate::output::{Output, paint, short, style};
use crate::wire::wallets;

pub async fn run(keystore: Keystore, args: SendArgs, output: Output) -> Result<(), CliError> {
    if args.amount.is_zero() {
        return Err(CliError::usage("amount", "there is nothing to send: the amount is 0"));
    }
    let info = wallets::pick(&keystore, args.from.as_deref())?;
    let reach = args.network.one().await?;
    let token = match &args.token {
        Some(text) => {
            token::find(text, reach.chain_id).map_err(|message| CliError::usage("token", message))?.address
        }
        None => token::dollars(reach.chain_id).first().copied().ok_or_else(|| {
            CliError::usage("token", "no token is known on this chain").help("name it with --token")
        })?,
    };
    let wallet = Wallet::new(reach.chain_id, reach.rpc.clone());
    let money = Money::new(args.amount, wallet.asset(token));
    let scale = output.progress("asking about the token", wallet.decimals(token)).await?;
    if scale != money.asset().scale() {
        return Err(CliError::usage(
            "token_scale",
            format!("{token} has {scale} decimals, and 6 are assumed"),
        )
        .help("it is not one of Tempo's stablecoins; nothing was sent"));
    }
    let name = &info.name;
    confirm(&format!("Send {money} from {name} to {} on {}?", args.to, reach.name()), args.yes.into())?;
    let password = args.password.clone();
    let (keystore, key_name) = (keystore, info.name.clone());
    let unlocking = tokio::task::spawn_blocking(move || wallets::unlock(&keystore, &key_name, &password));
    let key = unlocking.await.map_err(|error| CliError::unexpected("unlock", error.to_string()))??;
    let transfer = Transfer { token, to: args.to, amount: args.amount, memo: args.memo };
    let sent = output.progress("sending", wallet.send(&key, transfer, SystemClock.now())).await?;
    if output.is_json() {
        return output.json(&json!({
            "transaction": sent.hash, "block": sent.block, "chain_id": reach.chain_id, "token": token,
            "asset": money.asset().code(), "amount_base": args.amount, "from": key.address(), "to": args.to,
        }));
    }
    output.note(format_args!(
        "{} {} to {}",
        paint(style::GOOD, "sent"),
        paint(style::MONEY, &money),
        short(&args.to.to_string())
    ));
    output.line(sent.hash)
}
