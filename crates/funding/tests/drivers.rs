//! Everything started from one configuration, as a server does it: a deposit and a top-up of one wallet, and an orderly end.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use alloy_primitives::{Address, U256};
use farthing_billing::service::PageQuery;
use farthing_billing::service::deposit::DepositState;
use farthing_billing::service::topup::run::RuleName;
use farthing_billing::service::topup::{NewTopUpRule, Source};
use farthing_billing::topup::{BackOff, Size};
use farthing_funding::deposit::keys::{DepositKeys, DepositSeed};
use farthing_funding::deposit::watcher::WatchedToken;
use farthing_funding::drivers::{ChainConfig, DepositConfig, Drivers, FundingConfig, TreasuryConfig};
use farthing_rails::tempo::{PrivateKey, tokens};
use support::chain::{key, sandbox};
use support::{Scene, amount, until};

#[tokio::test(flavor = "multi_thread")]
async fn one_configuration_starts_deposits_and_top_ups_beside_each_other() {
    let node = sandbox().await;
    let asset = tokens::named_asset(node.chain_id, tokens::PATH_USD, "USDC").unwrap();
    let scene = Scene::new(&asset).await;
    let keys = DepositKeys::from_xpub(&DepositSeed::from_bytes(&[7; 32]).unwrap().xpub().unwrap()).unwrap();
    let config = |collect_to: Address| FundingConfig {
        chain: Some(ChainConfig {
            chain_id: node.chain_id,
            rpc_url: node.url.clone(),
            treasury: Some(TreasuryConfig { key: key(2), collect_to }),
            deposits: Some(DepositConfig {
                keys: keys.clone(),
                tokens: vec![WatchedToken { token: tokens::PATH_USD, minimum: amount(10) }],
                confirmations: 1,
                start_block: Some(1),
            }),
        }),
        ..FundingConfig::default()
    };
    let refused = Drivers::start(&scene.billing, config(keys.address(3)), scene.make_cx());
    assert_eq!(refused.unwrap_err().code(), "treasury_collects_at_deposit_address");
    let collect = PrivateKey::random(&mut rand::rng()).address();
    let drivers = Drivers::start(&scene.billing, config(collect), scene.make_cx()).unwrap();

    let of = (scene.customer, "USDC");
    let addresses = drivers.addresses().unwrap();
    let address = scene.billing.deposit_address(&scene.cx(), of, addresses.as_ref()).await.unwrap().address;
    node.send(tokens::PATH_USD, address.parse().unwrap(), 300).await;
    until("the deposit", async || scene.available("USDC").await == 300).await;
    let new = NewTopUpRule {
        threshold: amount(500),
        size: Size::Target(amount(2_000)),
        cap_per_day: amount(1_000_000),
        back_off: BackOff { first_ms: 60_000, longest_ms: 600_000, most: 3 },
        source: Source::Chain,
    };
    scene.billing.put_topup_rule(&scene.cx(), of, &new).await.unwrap();
    let rule = RuleName { tenant: scene.tenant, customer: scene.customer, asset: "USDC".to_owned() };
    drivers.nudge().look(rule);
    until("the top-up", async || scene.available("USDC").await == 2_000).await;
    drivers.shutdown().await;

    assert_eq!(node.balance(tokens::PATH_USD, collect).await, U256::from(1_700));
    let deposits = scene.billing.list_deposits(&scene.cx(), &PageQuery::default()).await.unwrap().data;
    assert_eq!(deposits.iter().map(|deposit| deposit.state).collect::<Vec<_>>(), [DepositState::Credited]);
    // Nothing runs any more: what comes now waits for the next start.
    node.send(tokens::PATH_USD, address.parse().unwrap(), 400).await;
    assert_eq!(scene.available("USDC").await, 2_000);
    let _again = Drivers::start(&scene.billing, config(collect), scene.make_cx()).unwrap();
    until("the second deposit", async || scene.available("USDC").await == 2_400).await;
}
