#![allow(clippy::unwrap_used, reason = "tests")]

use farthing_money::{Amount, Asset, AssetKind};

use super::{Fault, Verifier};
use crate::journal::{Chain, Entry, Event, Head, Posted, Sealed, read_sealed, write_sealed};
use crate::testkit::conformance::{UNIT, VENDOR, WALLET, WORLD, hold, opening, post, transfer};
use crate::testkit::{MemoryLedger, Workload};
use crate::{
    AccountId, AssetId, Command, Expiry, NewAsset, NewHold, PostAmount, PostHold, Remainder, Settlement,
    Step, Timestamp, TransferId,
};

/// A journal with an entry of every kind.
fn journal() -> Vec<Sealed> {
    let ledger = MemoryLedger::new();
    let network = AssetKind::Token { network: "eip155:1".into(), address: "0x20c0".into() };
    let token = Asset::new("PathUSD", 6, network).unwrap();
    let mut steps = opening(1_000);
    steps.extend(
        [
            Command::DefineAsset(NewAsset { id: AssetId::from_u32(2), asset: token }),
            hold(1, 600, 20),
            post(2, 1, 100, Remainder::Keep),
            crate::testkit::conformance::void(3, 1),
            hold(4, 10, 15),
            Command::Hold(NewHold { transfer: transfer(5, (WALLET, VENDOR), 7), expiry: Expiry::Never }),
        ]
        .map(Step::single),
    );
    assert!(
        ledger.decide(Timestamp::from_unix_ms(10), &steps).iter().all(|outcome| outcome.code() == "applied")
    );
    let end = [Command::Expire(TransferId::from_u128(4)), Command::CloseAccount(WORLD)].map(Step::single);
    assert!(
        ledger.decide(Timestamp::from_unix_ms(30), &end).iter().all(|outcome| outcome.code() == "applied")
    );
    ledger.scan().journal
}

fn serialize(journal: &[Sealed]) -> Vec<u8> {
    let mut bytes = Vec::new();
    journal.iter().for_each(|sealed| write_sealed(sealed, &mut bytes));
    bytes
}

fn verify(bytes: &[u8]) -> Result<Verifier, Fault> {
    let mut verifier = Verifier::new();
    verifier.add_serialized(bytes)?;
    Ok(verifier)
}

#[test]
fn a_serialized_journal_reads_back_as_it_was() {
    let journal = journal();
    let bytes = serialize(&journal);
    let (mut rest, mut read) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        read.push(read_sealed(&mut rest).unwrap());
    }
    assert_eq!(read, journal);
    let report = verify(&bytes).unwrap().finish().unwrap();
    assert_eq!((report.entries, report.accounts, report.open_holds), (13, 3, 1));
    assert_eq!(report.assets[&UNIT].posted, Some(Amount::from_base(1_100)));
    assert_eq!(report.assets[&UNIT].pending, Some(Amount::from_base(7)));
}

#[test]
fn a_flipped_bit_in_any_byte_is_found_in_its_entry() {
    let journal = journal();
    let bytes = serialize(&journal);
    let mut starts = Vec::new();
    journal.iter().fold(0, |start, sealed| {
        starts.push(start);
        start + serialize(std::slice::from_ref(sealed)).len()
    });
    for at in 0..bytes.len() {
        let entry = starts.iter().filter(|start| **start <= at).count();
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let fault = verify(&damaged).unwrap_err();
            assert_eq!(fault.seq(), u64::try_from(entry).ok(), "byte {at}, bit {bit}: {fault}");
        }
    }
}

#[test]
fn what_is_cut_off_or_left_out_is_found() {
    let journal = journal();
    let head = Head { seq: 13, at: journal[12].entry.at, hash: journal[12].hash };
    let whole = verify(&serialize(&journal)).unwrap();
    assert_eq!(whole.ends_at(&head), Ok(()));
    let short = verify(&serialize(&journal[..12])).unwrap();
    assert_eq!(short.ends_at(&head).unwrap_err().code(), "journal_ends");
    let mut gap = journal.clone();
    gap.remove(4);
    assert_eq!(verify(&serialize(&gap)).unwrap_err(), Fault::HashMismatch { seq: 5 });
    assert_eq!(verify(&serialize(&journal)[..100]).unwrap_err().code(), "entry_unreadable");
}

const NOTHING: Settlement = Settlement { posted: Amount::ZERO, released: Amount::ZERO };

fn rest(id: u128) -> PostHold {
    let (id, hold) = (TransferId::from_u128(id), TransferId::from_u128(5));
    PostHold { id, hold, amount: PostAmount::Rest, remainder: Remainder::Keep, reference: 0 }
}

/// Seals entries that no engine would write: whoever holds the file can make a chain, but not make it add up.
fn forge(events: impl IntoIterator<Item = Event>) -> Result<Verifier, Fault> {
    let mut entries: Vec<Entry> = journal().into_iter().map(|sealed| sealed.entry).collect();
    for event in events {
        let seq = entries.len() as u64 + 1;
        entries.push(Entry { seq, at: Timestamp::from_unix_ms(40), event });
    }
    let (mut chain, mut verifier) = (Chain::after(Head::genesis()), Verifier::new());
    for entry in entries {
        let hash = chain.seal(&entry).1;
        verifier.add(&Sealed { entry, hash })?;
    }
    Ok(verifier)
}

#[test]
fn entries_that_cannot_follow_are_named() {
    let posted = |credit, (posted, released, left): (u128, u128, u128), remainder| {
        let Command::Post(post) = post(90, 5, posted, remainder) else { panic!("a post") };
        let amount = Amount::from_base;
        let settlement = Settlement { posted: amount(posted), released: amount(released) };
        Event::Posted(Posted { post, debit: WALLET, credit, asset: UNIT, settlement, left: amount(left) })
    };
    let ended = PostHold { hold: TransferId::from_u128(1), ..rest(90) };
    let ended = Posted {
        post: ended,
        debit: WALLET,
        credit: VENDOR,
        asset: UNIT,
        settlement: NOTHING,
        left: Amount::ZERO,
    };
    let moved = |id, debit, credit, amount| Event::Transferred(transfer(id, (debit, credit), amount));
    let mut foreign = transfer(90, (WALLET, VENDOR), 1);
    foreign.asset = AssetId::from_u32(2);
    let nobody = AccountId::from_u128(99);
    let table = [
        (moved(90, WALLET, VENDOR, 1), None),
        (moved(1, WALLET, VENDOR, 1), Some("entry_id_twice")),
        (moved(90, WALLET, nobody, 1), Some("entry_broken")),
        (moved(90, WALLET, VENDOR, 894), Some("entry_broken")),
        (moved(90, VENDOR, WORLD, 1), Some("entry_broken")),
        (Event::Transferred(foreign), Some("entry_broken")),
        (posted(VENDOR, (7, 0, 0), Remainder::Keep), None),
        (posted(VENDOR, (3, 0, 4), Remainder::Keep), None),
        (posted(VENDOR, (3, 4, 0), Remainder::Release), None),
        (posted(VENDOR, (8, 0, 0), Remainder::Keep), Some("entry_broken")),
        (posted(VENDOR, (3, 0, 3), Remainder::Keep), Some("entry_broken")),
        (posted(VENDOR, (3, 3, 1), Remainder::Release), Some("entry_broken")),
        (posted(VENDOR, (3, 4, 0), Remainder::Keep), Some("entry_broken")),
        (posted(WORLD, (7, 0, 0), Remainder::Keep), Some("entry_broken")),
        (Event::Posted(ended), Some("entry_broken")),
    ];
    for (event, expected) in table {
        let got = forge([event.clone()]);
        assert_eq!(got.as_ref().err().map(Fault::code), expected, "{event:?}");
        assert_eq!(got.err().and_then(|fault| fault.seq()), expected.map(|_| 14), "{event:?}");
    }
}

#[test]
fn a_shown_balance_that_differs_is_named() {
    let verifier = verify(&serialize(&journal())).unwrap();
    let mut shown: Vec<_> = verifier.replay().accounts().copied().collect();
    assert_eq!(verifier.accounts_are(&shown), Ok(()));
    let wallet = shown.iter_mut().find(|account| account.id == WALLET).unwrap();
    wallet.totals.debits.posted = Amount::from_base(99);
    assert_eq!(verifier.accounts_are(&shown).unwrap_err(), Fault::AccountDiffers { account: WALLET });
    shown.retain(|account| account.id != VENDOR && account.id != WALLET);
    assert_eq!(verifier.accounts_are(&shown).unwrap_err(), Fault::AccountDiffers { account: WALLET });
}

#[test]
fn random_journals_verify_and_resume_anywhere() {
    let ledger = MemoryLedger::new();
    let mut workload = Workload::new(7);
    for _ in 0..80 {
        let (now, steps) = workload.batch();
        let outcomes = ledger.decide(now, &steps);
        workload.learn(&steps, &outcomes);
    }
    let journal = ledger.scan().journal;
    let whole = verify(&serialize(&journal)).unwrap();
    whole.finish().unwrap();
    for cut in (0..journal.len()).step_by(7) {
        let first = verify(&serialize(&journal[..cut])).unwrap();
        let mut replay = crate::journal::Replay::resume(first.replay().checkpoint());
        journal[cut..].iter().for_each(|sealed| replay.add(&sealed.entry).unwrap());
        assert_eq!(replay.checkpoint(), whole.replay().checkpoint(), "cut at {cut}");
    }
}
