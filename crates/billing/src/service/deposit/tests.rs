#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

//! A model of a chain that changes its mind, and watchers that die and repeat themselves over it.

use std::collections::BTreeMap;

use farthing_money::Amount;

use super::*;
use crate::CustomerId;
use crate::service::testing::{NETWORK, Scene, TOKEN, amount};
use crate::service::wallet::{Adjust, Direction};
use crate::service::{Cx, PageQuery};

struct Numbered;

impl Addresses for Numbered {
    fn address(&self, index: u32) -> String {
        format!("0x{index:040x}")
    }

    fn takes(&self, network: &str, token: &str) -> bool {
        (network, token) == (NETWORK, TOKEN)
    }
}

const MINIMUM: u128 = 1_000;

fn index(block: u64) -> usize {
    usize::try_from(block).unwrap()
}

fn sighting(hash: u64, block: u64, to: &str, base: u128) -> Sighting {
    Sighting {
        network: NETWORK.to_owned(),
        token: TOKEN.to_owned(),
        tx_hash: format!("0x{hash:064x}"),
        log: 0,
        block,
        block_hash: format!("{block}-a"),
        from: "0xfe".to_owned(),
        to: to.to_owned(),
        amount: amount(base),
        minimum: amount(MINIMUM),
    }
}

async fn address(scene: &Scene) -> String {
    let of = (scene.customer, "USDC");
    scene.billing.deposit_address(&scene.cx(), of, &Numbered).await.unwrap().address
}

async fn see(scene: &Scene, it: &Sighting) -> &'static str {
    match scene.billing.deposit_seen(&scene.cx(), it).await.unwrap() {
        Seen::Credited(_) => "credited",
        Seen::Exception(_) => "exception",
        Seen::Known(_) => "known",
    }
}

async fn placed(scene: &Scene, it: &Sighting, placed: Placed) -> DepositState {
    let cx: Cx = scene.cx();
    let key = kept::transfer_key(&it.network, &it.tx_hash, it.log);
    let deposit = scene.billing.deposit_of(&cx, &key).await.unwrap().unwrap().1.doc;
    scene.billing.deposit_placed(&cx, &deposit, (&placed, 3)).await.unwrap().state
}

#[tokio::test]
async fn an_address_is_given_once_and_no_two_are_the_same() {
    let scene = Scene::new().await;
    let first = address(&scene).await;
    assert_eq!(first, address(&scene).await);
    let other = scene.new_customer("d").await;
    let second = scene.billing.deposit_address(&scene.cx(), (other, "USDC"), &Numbered).await.unwrap();
    assert_eq!((second.index, second.token.as_str()), (1, TOKEN));
    for asset in ["USD", "UNITS"] {
        let refused = scene.billing.deposit_address(&scene.cx(), (other, asset), &Numbered).await;
        assert_eq!(refused.unwrap_err().code(), "invalid_field", "{asset}");
    }
    let nobody = (CustomerId::from_u128(9), "USDC");
    let refused = scene.billing.deposit_address(&scene.cx(), nobody, &Numbered).await;
    assert_eq!(refused.unwrap_err().code(), "not_found");
    let slots = scene.billing.deposit_slots(&scene.cx(), 0, 10).await.unwrap();
    assert_eq!(slots.iter().map(|slot| slot.index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(scene.billing.deposit_slots(&scene.cx(), 1, 10).await.unwrap(), slots[1..]);
}

#[tokio::test]
async fn what_is_seen_is_credited_once_or_kept() {
    let scene = Scene::new().await;
    let to = address(&scene).await;
    let cases = [
        (sighting(1, 5, &to, 5_000), "credited", None),
        (sighting(1, 5, &to, 5_000), "known", None),
        (Sighting { log: 1, ..sighting(1, 5, &to, 5_000) }, "credited", None),
        (sighting(2, 5, &to, MINIMUM - 1), "exception", Some(Reason::Dust)),
        (sighting(3, 6, "0xnobody", 5_000), "exception", Some(Reason::UnknownAddress)),
        (
            Sighting { token: "0xother".into(), ..sighting(4, 6, &to, 5_000) },
            "exception",
            Some(Reason::OtherAsset),
        ),
        (
            Sighting { network: "eip155:1".into(), ..sighting(5, 6, &to, 5_000) },
            "exception",
            Some(Reason::OtherAsset),
        ),
        (sighting(6, 6, &to, u128::MAX), "exception", Some(Reason::Refused)),
    ];
    for (it, expected, reason) in &cases {
        assert_eq!(see(&scene, it).await, *expected, "{it:?}");
        let key = kept::transfer_key(&it.network, &it.tx_hash, it.log);
        let deposit = scene.billing.deposit_of(&scene.cx(), &key).await.unwrap().unwrap().1.doc;
        assert_eq!(deposit.reason, *reason, "{it:?}");
        if *expected == "exception" {
            assert_eq!(see(&scene, it).await, "known", "kept once");
        }
    }
    assert_eq!(scene.available("USDC").await, 10_000);
    let page = PageQuery::default();
    let mine = scene.billing.list_deposit_exceptions(&scene.cx(), &page).await.unwrap().data;
    let reasons: Vec<_> = mine.iter().filter_map(|deposit| deposit.reason).collect();
    assert_eq!(reasons, [Reason::Refused, Reason::OtherAsset, Reason::OtherAsset, Reason::Dust]);
    let nobodys = scene.billing.list_unmatched_deposits(&scene.cx(), &page).await.unwrap().data;
    assert_eq!(nobodys.len(), 1);
    assert_eq!(scene.events("deposit.credited").await.len(), 2);
    assert_eq!(scene.events("deposit.exception").await.len(), 5);
    assert_eq!(scene.events("wallet.credited").await.len(), 2);
}

#[tokio::test]
async fn an_exception_is_assigned_once() {
    let scene = Scene::new().await;
    let to = address(&scene).await;
    see(&scene, &sighting(1, 5, &to, 10)).await;
    see(&scene, &sighting(2, 5, "0xnobody", 5_000)).await;
    see(&scene, &Sighting { token: "0xother".into(), ..sighting(3, 5, &to, 5_000) }).await;
    let page = PageQuery::default();
    let mine = scene.billing.list_deposit_exceptions(&scene.cx(), &page).await.unwrap().data;
    let (other, dust) = (&mine[0], &mine[1]);
    let assign = async |id: &str| scene.billing.assign_deposit(&scene.cx(), id, scene.customer).await;
    assert_eq!(assign(&dust.id).await.unwrap().state, DepositState::Credited);
    assert_eq!(assign(&dust.id).await.unwrap_err().code(), "wrong_state");
    assert_eq!(assign(&other.id).await.unwrap_err().code(), "invalid_field", "no asset is that token");
    let nobodys = scene.billing.list_unmatched_deposits(&scene.cx(), &page).await.unwrap().data.remove(0);
    assert_eq!(assign(&nobodys.id).await.unwrap_err().code(), "not_found", "it is no tenant's");
    let cx = scene.cx();
    let moved = scene.billing.assign_unmatched_deposit(&cx, &nobodys.id, scene.customer).await.unwrap();
    assert_eq!((moved.state, moved.customer), (DepositState::Credited, Some(scene.customer)));
    assert_eq!(scene.billing.deposit(&scene.cx(), &moved.id).await.unwrap(), moved);
    assert!(scene.billing.list_unmatched_deposits(&scene.cx(), &page).await.unwrap().data.is_empty());
    assert_eq!(scene.available("USDC").await, 5_010);
    // The chain takes it back from whoever has it now.
    let it = sighting(2, 5, "0xnobody", 5_000);
    placed(&scene, &it, Placed::Nowhere { head: 10 }).await;
    assert_eq!(placed(&scene, &it, Placed::Nowhere { head: 13 }).await, DepositState::Reversed);
    assert_eq!(scene.available("USDC").await, 10);
}

#[tokio::test]
async fn a_deposit_that_the_chain_takes_back_is_owed_and_credited_anew_when_it_returns() {
    let scene = Scene::new().await;
    let to = address(&scene).await;
    let it = sighting(1, 5, &to, 5_000);
    see(&scene, &it).await;
    let adjust =
        Adjust { direction: Direction::Debit, amount: amount(4_000), reason: "r".into(), reference: None };
    scene.billing.adjust(&scene.cx(), (scene.customer, "USDC"), &adjust).await.unwrap();
    let gone = |head| Placed::Nowhere { head };
    assert_eq!(placed(&scene, &it, gone(10)).await, DepositState::Missing);
    assert_eq!(placed(&scene, &it, gone(12)).await, DepositState::Missing);
    assert_eq!(scene.available("USDC").await, 1_000, "it may come back");
    assert_eq!(scene.billing.missing_deposits(&scene.cx(), NETWORK, 10).await.unwrap().len(), 1);
    assert_eq!(placed(&scene, &it, gone(13)).await, DepositState::Reversed);
    assert_eq!(placed(&scene, &it, gone(99)).await, DepositState::Reversed);
    assert_eq!(scene.available("USDC").await, -4_000, "what was spent is owed");
    assert!(scene.billing.missing_deposits(&scene.cx(), NETWORK, 10).await.unwrap().is_empty());
    assert_eq!(scene.events("deposit").await, ["deposit.credited", "deposit.reversed"]);
    let again = Sighting { block: 20, block_hash: "20-b".into(), ..it.clone() };
    assert_eq!((see(&scene, &again).await, see(&scene, &again).await), ("credited", "known"));
    assert_eq!(scene.available("USDC").await, 1_000);
    let after = scene.billing.deposits_after_block(&scene.cx(), (NETWORK, 5), (None, 10)).await.unwrap().0;
    assert_eq!(after.iter().map(|deposit| (deposit.block, deposit.credits)).collect::<Vec<_>>(), [(20, 2)]);
    assert!(
        scene
            .billing
            .deposits_after_block(&scene.cx(), (NETWORK, 20), (None, 10))
            .await
            .unwrap()
            .0
            .is_empty()
    );
}

#[tokio::test]
async fn a_deposit_in_another_block_is_the_same_deposit() {
    let scene = Scene::new().await;
    let to = address(&scene).await;
    let it = sighting(1, 5, &to, 5_000);
    see(&scene, &it).await;
    placed(&scene, &it, Placed::Nowhere { head: 10 }).await;
    let there = Placed::In { block: 7, block_hash: "7-b".into() };
    assert_eq!(placed(&scene, &it, there).await, DepositState::Credited);
    let again = Sighting { block: 7, block_hash: "7-b".into(), ..it.clone() };
    assert_eq!(see(&scene, &again).await, "known");
    let moved = Sighting { block: 8, block_hash: "8-c".into(), ..it };
    assert_eq!(see(&scene, &moved).await, "known");
    assert_eq!(scene.available("USDC").await, 5_000);
    let after = scene.billing.deposits_after_block(&scene.cx(), (NETWORK, 0), (None, 10)).await.unwrap().0;
    assert_eq!(after.iter().map(|deposit| deposit.block).collect::<Vec<_>>(), [8]);
    assert_eq!(scene.events("deposit").await, ["deposit.credited"]);
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Blocks of transactions, each a transfer of so much.
#[derive(Default)]
struct Chain {
    blocks: Vec<(String, Vec<(u64, u128)>)>,
    made: u64,
}

impl Chain {
    fn mine(&mut self, transactions: Vec<(u64, u128)>) {
        self.made += 1;
        self.blocks.push((format!("hash-{}", self.made), transactions));
    }

    fn find(&self, hash: u64) -> Placed {
        let at = self.blocks.iter().position(|(_, block)| block.iter().any(|(tx, _)| *tx == hash));
        match at {
            Some(block) => Placed::In { block: block as u64, block_hash: self.blocks[block].0.clone() },
            None => Placed::Nowhere { head: self.blocks.len() as u64 - 1 },
        }
    }

    fn total(&self) -> u128 {
        self.blocks.iter().flat_map(|(_, block)| block).map(|(_, amount)| amount).sum()
    }
}

/// One pass of a watcher, as `farthing-funding` makes it; it may end at any step.
async fn pass(scene: &Scene, chain: &Chain, to: &str, dice: &mut Dice) {
    let billing = &scene.billing;
    let stored = billing.deposit_place(&scene.cx(), NETWORK).await.unwrap();
    let mut place = stored.as_ref().map_or_else(|| Place::beginning(0), |stored| stored.doc.clone());
    let stands =
        |mark: &Mark| chain.blocks.get(index(mark.block)).is_some_and(|(hash, _)| *hash == mark.hash);
    if place.marks.last().is_some_and(|mark| !stands(mark)) {
        let ancestor = place.marks.iter().rev().find(|mark| stands(mark)).map_or(0, |mark| mark.block);
        let after =
            billing.deposits_after_block(&scene.cx(), (NETWORK, ancestor), (None, 99)).await.unwrap().0;
        for deposit in after {
            if dice.roll(8) == 0 {
                return;
            }
            let hash = u64::from_str_radix(&deposit.tx_hash[2..], 16).unwrap();
            billing.deposit_placed(&scene.cx(), &deposit, (&chain.find(hash), 3)).await.unwrap();
        }
        place = place.back_to(ancestor);
        let cx = scene.cx();
        let _ = billing.move_deposit_place(&cx, NETWORK, (stored.as_ref(), &place)).await.unwrap();
        return;
    }
    for deposit in billing.missing_deposits(&scene.cx(), NETWORK, 99).await.unwrap() {
        let hash = u64::from_str_radix(&deposit.tx_hash[2..], 16).unwrap();
        billing.deposit_placed(&scene.cx(), &deposit, (&chain.find(hash), 3)).await.unwrap();
    }
    let last = (place.next + dice.roll(3)).min((chain.blocks.len() as u64).saturating_sub(3));
    for block in place.next..=last {
        let Some((hash, transactions)) = chain.blocks.get(index(block)) else { return };
        for (tx, base) in transactions {
            if dice.roll(8) == 0 {
                return;
            }
            let it = Sighting { block_hash: hash.clone(), ..sighting(*tx, block, to, *base) };
            billing.deposit_seen(&scene.cx(), &it).await.unwrap();
        }
        place = place.after(Mark { block, hash: hash.clone() });
    }
    // A watcher that ended before it wrote its place may have credited what was in these blocks before they were replaced.
    let before = stored.as_ref().map_or(0, |stored| stored.doc.next).saturating_sub(1);
    let after = billing.deposits_after_block(&scene.cx(), (NETWORK, before), (None, 99)).await.unwrap().0;
    for deposit in after.iter().filter(|deposit| deposit.block <= last) {
        let hash = u64::from_str_radix(&deposit.tx_hash[2..], 16).unwrap();
        billing.deposit_placed(&scene.cx(), deposit, (&chain.find(hash), 3)).await.unwrap();
    }
    if dice.roll(8) != 0 {
        let cx = scene.cx();
        let _ = billing.move_deposit_place(&cx, NETWORK, (stored.as_ref(), &place)).await.unwrap();
    }
}

#[tokio::test]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
async fn over_any_history_the_wallet_has_what_the_chain_has() {
    for seed in 1..=80_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let scene = Scene::new().await;
        let to = address(&scene).await;
        let (mut chain, mut hashes) = (Chain::default(), 0_u64);
        chain.mine(Vec::new());
        let mut lost: BTreeMap<u64, u128> = BTreeMap::new();
        for _ in 0..120 {
            match dice.roll(10) {
                0 => {
                    // The last blocks are replaced; some of their transactions come again, some later, some never.
                    let depth = (dice.roll(8) as usize).min(chain.blocks.len() - 1);
                    for (_, block) in chain.blocks.split_off(chain.blocks.len() - depth) {
                        lost.extend(block);
                    }
                    for _ in 0..depth {
                        chain.mine(Vec::new());
                    }
                }
                1..=4 => {
                    let mut transactions: Vec<(u64, u128)> = Vec::new();
                    for _ in 0..dice.roll(3) {
                        hashes += 1;
                        transactions.push((hashes, u128::from(dice.roll(9_000)) + MINIMUM));
                    }
                    if dice.roll(2) == 0
                        && let Some((tx, base)) = lost.pop_first()
                    {
                        transactions.push((tx, base));
                    }
                    chain.mine(transactions);
                }
                _ => pass(&scene, &chain, &to, &mut dice).await,
            }
        }
        for _ in 0..60 {
            chain.mine(Vec::new());
            pass(&scene, &chain, &to, &mut dice).await;
        }
        let expected = i128::try_from(Amount::from_base(chain.total()).base()).unwrap();
        assert_eq!(scene.available("USDC").await, expected, "seed {seed}");
    }
}
