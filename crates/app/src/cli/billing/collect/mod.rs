//! `farthing billing collect`: brings what lies at customers' deposit addresses to an account of the operator's. The one command that
//! is given the seed of the addresses; the server never is.

use std::path::PathBuf;
use std::sync::Arc;

use alloy_primitives::Address;
use farthing_billing::service::Billing;
use farthing_billing::service::Cx;
use farthing_billing::service::collection::{Collection, CollectionState};
use farthing_funding::collect::{CollectSettings, Collector, Done, Ended, Plan};
use farthing_funding::deposit::keys::DepositSeed;
use farthing_funding::drivers::DepositConfig;
use farthing_money::Amount;
use farthing_rails::tempo::TempoRpc;
use farthing_rails::tempo::sweep::Sweeper;

use super::world::operator;
use crate::cli::confirm::confirm;
use crate::cli::password::PasswordArgs;
use crate::config::billing::{self, BillingConfig};
use crate::config::funding::ChainTables;
use crate::config::{network, token, value};
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::wire::wallets;

mod seed;
mod show;

const EXAMPLES: &str = "Examples:
  farthing billing collect -c billing.toml --to 0x7099… --dry-run
  farthing billing collect -c billing.toml --to 0x7099… --seed-file seed
  farthing billing collect -c billing.toml --to 0x7099… --seed-file seed --minimum 5 --yes
  gpg -d seed.gpg | farthing billing collect -c billing.toml --to 0x7099… --seed-file - --yes
  farthing billing collect -c billing.toml --to 0x7099… --seed-file seed --fees-from fees

Reads which addresses were given out, asks the chain what is there, shows what it would do, and after
consent sends one transfer from each. Each address pays the network's fee out of what it holds, so as
much stays there as the fee may take at most; with --fees-from nothing stays. It may run beside the
service, again at any moment, and after it was killed: it sends what is there, and what an earlier run
sent is looked up first. Nobody's balance changes.

Exit codes: 0 done, 2 wrong usage, 3 the chain did not answer, 5 something could not be collected,
7 something was sent and its outcome is not known: run it again in half a minute.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The configuration file, with the tables chain and deposits
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// The account that receives; no deposit address
    #[arg(long, value_name = "ADDRESS", value_parser = value::address)]
    to: Address,
    /// Read the seed of the addresses from this file (`-` is standard input, else a prompt): hexadecimal
    /// digits, or a recovery phrase
    #[arg(long, value_name = "FILE")]
    seed_file: Option<PathBuf>,
    /// Only this token, also one that is not in the configuration; may be given again [default: those of the configuration]
    #[arg(long, value_name = "TOKEN")]
    token: Vec<String>,
    /// Leave what would bring less than this; what an earlier run left for fees is not worth another
    #[arg(long, value_name = "AMOUNT", value_parser = value::amount, default_value = "0.01")]
    minimum: Amount,
    /// The wallet that pays the network's fees, so that nothing stays [default: each address pays its own]
    #[arg(long, value_name = "WALLET")]
    fees_from: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
    /// Show what lies there, and do nothing; needs no seed
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// What was found and done, for whoever shows it.
struct Told<'a> {
    chain_id: u64,
    to: Address,
    /// What earlier runs had sent, as it is known now.
    earlier: &'a [Collection],
    plan: &'a Plan,
    /// Nothing, where nothing was to be done.
    done: Option<&'a [Done]>,
}

pub async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let config = billing::load(Some(&args.config), None)?;
    config.warnings.iter().for_each(|warning| output.warn(warning));
    let (chain, deposits) = tables(&config)?;
    // Before anything else: whoever holds another seed learns it before anybody is asked.
    let seed = match (&args.seed_file, args.dry_run) {
        (None, true) => None,
        (file, _) => Some(seed::read(file.as_deref(), deposits)?),
    };
    let collector = collector(&args, &config, (chain, deposits)).await?;
    let (record, earlier) = earlier(&args, &config, &collector).await?;
    let asking = collector.plan(&earlier);
    let plan = output.progress("asking the chain what is there", asking).await?;
    let told = Told { chain_id: chain.chain_id, to: args.to, earlier: &earlier, plan: &plan, done: None };
    show::plan(&told, output)?;
    let (Some(seed), Some(record), false) = (seed, record, args.dry_run) else {
        show::json(&told, output)?;
        return Ok(exit(&earlier, &[]));
    };
    let collected = plan.collected().count();
    if collected > 0 {
        let name = network::name(chain.chain_id);
        let what = show::sums(&told);
        confirm(&format!("Send {what} to {} on {name}?", args.to), args.yes.into())?;
    }
    let done = carry_out(&collector, (&record, &seed), &told, output).await?;
    show::done(&Told { done: Some(&done), ..told }, output)?;
    Ok(exit(&earlier, &done))
}

async fn carry_out(
    collector: &Collector,
    (record, seed): (&Billing, &DepositSeed),
    told: &Told<'_>,
    output: Output,
) -> Result<Vec<Done>, CliError> {
    let bar = output.spinner("collecting");
    let chain_id = told.chain_id;
    let each = |done: &Done| bar.suspend(|| show::one(chain_id, done, output));
    let done = collector.collect(record, seed, told.plan, each).await;
    bar.finish_and_clear();
    Ok(done?)
}

/// The tables that say where deposits come.
fn tables(config: &BillingConfig) -> Result<(&ChainTables, &DepositConfig), CliError> {
    let chain = config.funding.chain.as_ref();
    chain.and_then(|chain| Some((chain, chain.deposits.as_ref()?))).ok_or_else(|| {
        CliError::usage(
            "no_deposits",
            "the configuration has no [chain] and [deposits]: there are no deposit addresses",
        )
        .help("docs/funding.md shows both tables")
    })
}

async fn collector(
    args: &Args,
    config: &BillingConfig,
    (chain, deposits): (&ChainTables, &DepositConfig),
) -> Result<Collector, CliError> {
    if args.to.is_zero() {
        return Err(CliError::usage(
            "collect_to",
            "--to is the zero address, from which money never returns",
        )
        .help("nothing was sent; name an account of yours"));
    }
    let named = args.token.iter().map(|text| {
        let found = token::find(text, chain.chain_id);
        found.map(|found| found.address).map_err(|message| CliError::usage("token", message))
    });
    let mut tokens = named.collect::<Result<Vec<Address>, CliError>>()?;
    if tokens.is_empty() {
        tokens = deposits.tokens.iter().map(|watched| watched.token).collect();
    }
    tokens.sort_unstable();
    tokens.dedup();
    let settings = CollectSettings { chain_id: chain.chain_id, tokens, to: args.to, minimum: args.minimum };
    let rpc = TempoRpc::new(chain.rpc_url.as_str())?;
    let mut sweeper = Sweeper::new(chain.chain_id, rpc.clone());
    if let Some(name) = &args.fees_from {
        let keystore = wallets::keystore()?;
        let info = wallets::pick(&keystore, Some(name))?;
        let password = args.password.clone();
        let unlocking =
            tokio::task::spawn_blocking(move || wallets::unlock(&keystore, &info.name, &password));
        let key = unlocking.await.map_err(|error| CliError::unexpected("unlock", error.to_string()))??;
        sweeper = sweeper.with_fee_payer(key);
    }
    let books = Billing::new(config.look().await?);
    let make_cx = Arc::new(|tenant| Cx { tenant, ..operator() });
    Ok(Collector::new(books, (rpc, deposits.keys.clone()), sweeper, settings, make_cx))
}

/// The record of collections, and what is known of what earlier runs sent. A dry run writes nothing and learns nothing.
async fn earlier(
    args: &Args,
    config: &BillingConfig,
    collector: &Collector,
) -> Result<(Option<Billing>, Vec<Collection>), CliError> {
    if args.dry_run {
        return Ok(match config.look_at_collections().await? {
            Some(record) => (None, collector.open(&Billing::new(record)).await?),
            None => (None, Vec::new()),
        });
    }
    let record = Billing::new(config.collections().await?);
    let earlier = collector.look_up(&record).await?;
    Ok((Some(record), earlier))
}

/// What is not known weighs more than what failed: it may have moved money.
fn exit(earlier: &[Collection], done: &[Done]) -> Exit {
    let unknown = |state| matches!(state, CollectionState::Sending | CollectionState::Unclear);
    let ended = |what: fn(&Ended) -> bool| done.iter().any(|done| what(&done.ended));
    if earlier.iter().any(|it| unknown(it.state)) || ended(|it| matches!(it, Ended::Unknown { .. })) {
        Exit::Unknown
    } else if ended(|it| matches!(it, Ended::Failed { .. })) {
        Exit::NotPaid
    } else {
        Exit::Ok
    }
}
