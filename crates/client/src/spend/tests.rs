#![allow(clippy::unwrap_used, reason = "tests")]

use std::thread;

use farthing_money::Amount;
use proptest::prelude::*;

use farthing_protocol::UnixMs;

use super::{Draw, FileBook, MemoryBook, SpendBook, SpendError, Window};
use crate::PaymentId;

const NOW: UnixMs = UnixMs::from_ms(1_769_688_000_000);

fn draw(counter: &str, units: u128, limit: u128) -> Draw {
    Draw {
        counter: counter.to_owned(),
        window: Window::Total,
        units: Amount::from_base(units),
        limit: Amount::from_base(limit),
        asked: "0.01 X".to_owned(),
        rule: "the rule".to_owned(),
    }
}

fn id(nth: u128) -> PaymentId {
    PaymentId::parse(&format!("p-{nth}")).unwrap()
}

/// Confirmed and held.
fn stands(book: &dyn SpendBook, counter: &str) -> (u128, u128) {
    let spent = book.spent(counter, NOW).unwrap();
    (spent.confirmed.base(), spent.held.base())
}

fn each_book(check: impl Fn(&dyn SpendBook)) {
    check(&MemoryBook::new());
    let directory = tempfile::tempdir().unwrap();
    check(&FileBook::new(directory.path().join("not/yet/spend.json")));
}

#[test]
fn holds_are_confirmed_released_or_kept() {
    each_book(|book| {
        book.hold(&id(1), &[draw("a", 4, 10)], NOW).unwrap();
        book.hold(&id(2), &[draw("a", 6, 10)], NOW).unwrap();
        assert_eq!(stands(book, "a"), (0, 10));
        assert_eq!(book.hold(&id(3), &[draw("a", 1, 10)], NOW).unwrap_err().code(), "over_spend_limit");
        book.confirm(&id(1), NOW).unwrap();
        assert_eq!(stands(book, "a"), (4, 6));
        book.release(&id(2)).unwrap();
        assert_eq!(stands(book, "a"), (4, 0));
        // Once confirmed, nothing is given back; a second release gives nothing.
        book.release(&id(1)).unwrap();
        book.release(&id(2)).unwrap();
        book.confirm(&id(9), NOW).unwrap();
        assert_eq!(stands(book, "a"), (4, 0));
        book.hold(&id(4), &[draw("a", 6, 10)], NOW).unwrap();
        assert_eq!(stands(book, "a"), (4, 6));
    });
}

#[test]
fn a_payment_draws_on_every_counter_or_on_none() {
    each_book(|book| {
        let error = book.hold(&id(1), &[draw("a", 5, 10), draw("b", 5, 4)], NOW).unwrap_err();
        assert_eq!(
            error.to_string(),
            "0.01 X more does not fit the limit of the rule: 0 of it is spent or held"
        );
        assert_eq!((stands(book, "a"), stands(book, "b")), ((0, 0), (0, 0)));
        // Two limits on one counter: both must hold, for the sum.
        assert!(book.hold(&id(2), &[draw("a", 5, 10), draw("a", 5, 9)], NOW).is_err());
        book.hold(&id(2), &[draw("a", 5, 10), draw("a", 5, 10)], NOW).unwrap();
        assert_eq!(stands(book, "a"), (0, 10));
        book.release(&id(2)).unwrap();
        assert_eq!(stands(book, "a"), (0, 0));
        let huge = draw("a", u128::MAX, u128::MAX);
        book.hold(&id(3), std::slice::from_ref(&huge), NOW).unwrap();
        assert!(book.check(&[huge], NOW).is_err(), "a sum past 128 bits is past every limit");
    });
}

#[test]
fn a_check_writes_nothing() {
    each_book(|book| {
        book.check(&[draw("a", 10, 10)], NOW).unwrap();
        assert!(book.check(&[draw("a", 11, 10)], NOW).is_err());
        assert_eq!(stands(book, "a"), (0, 0));
    });
}

#[test]
fn many_threads_never_exceed_a_limit() {
    each_book(|book| {
        thread::scope(|scope| {
            for worker in 0..8 {
                scope.spawn(move || {
                    for nth in 0..10 {
                        let payment = id(worker * 100 + nth);
                        if book.hold(&payment, &[draw("a", 1, 40)], NOW).is_ok() {
                            book.confirm(&payment, NOW).unwrap();
                        }
                    }
                });
            }
        });
        assert_eq!(stands(book, "a"), (40, 0));
    });
}

#[test]
fn a_file_book_outlives_its_process_and_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spend.json");
    FileBook::new(&path).hold(&id(1), &[draw("a", 4, 10)], NOW).unwrap();
    let again = FileBook::new(&path);
    assert_eq!(stands(&again, "a"), (0, 4));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // A damaged book is never taken for an empty one.
    for damage in ["", "{", "{\"used\":{}}", "[]"] {
        std::fs::write(&path, damage).unwrap();
        let error = again.hold(&id(2), &[draw("a", 1, 10)], NOW).unwrap_err();
        assert!(matches!(&error, SpendError::Damaged { .. }), "{damage:?}: {error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), damage);
    }
}

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn at(ms: u64) -> UnixMs {
    NOW.plus_ms(ms)
}

fn hourly(units: u128) -> Draw {
    Draw { window: Window::Hour, ..draw("h", units, 10) }
}

/// Spends at an instant, if the limit allows it.
fn spend(book: &dyn SpendBook, nth: u128, units: u128, when: UnixMs) -> bool {
    let held = book.hold(&id(nth), &[hourly(units)], when).is_ok();
    book.confirm(&id(nth), when).unwrap();
    held
}

#[test]
fn a_window_slides_and_what_is_held_counts_whenever_it_was_held() {
    each_book(|book| {
        assert!(spend(book, 1, 6, at(0)) && !spend(book, 2, 5, at(1)));
        assert!(spend(book, 3, 4, at(30 * MINUTE)) && !spend(book, 4, 1, at(59 * MINUTE)));
        // An hour and the rest of its minute later, and not before.
        assert!(!spend(book, 5, 6, at(HOUR)), "the minute that it was in has not passed");
        assert!(spend(book, 6, 6, at(HOUR + MINUTE)) && !spend(book, 7, 1, at(HOUR + MINUTE)));
        assert!(spend(book, 8, 4, at(HOUR + 31 * MINUTE)));
        // Held, it counts for ever.
        book.hold(&id(9), &[hourly(3)], at(DAY)).unwrap();
        assert!(!spend(book, 10, 8, at(9 * DAY)) && spend(book, 11, 7, at(9 * DAY)));
        book.release(&id(9)).unwrap();
        assert!(spend(book, 12, 3, at(9 * DAY)));
    });
}

#[test]
fn a_clock_that_jumps_gives_nothing_back() {
    each_book(|book| {
        assert!(spend(book, 1, 6, at(10 * HOUR)));
        // Back by nine hours: what was spent in a future that did not come was spent now, for an hour from now.
        assert!(!spend(book, 2, 5, at(HOUR)) && spend(book, 3, 4, at(HOUR)));
        assert!(!spend(book, 4, 1, at(HOUR + 59 * MINUTE)));
        assert!(spend(book, 5, 10, at(2 * HOUR + 2 * MINUTE)), "and not until the future comes");
        // Forward by a year, for a moment, and back: what was forgotten there counts here.
        assert!(spend(book, 6, 1, at(365 * DAY)));
        assert!(!spend(book, 7, 1, at(2 * HOUR + 3 * MINUTE)), "10 and 1 are more than 10");
        assert!(spend(book, 8, 9, at(3 * HOUR + 5 * MINUTE)));
    });
}

#[test]
fn every_window_has_its_length() {
    let cases =
        [(Window::Hour, HOUR, MINUTE), (Window::Day, DAY, 30 * MINUTE), (Window::Month, 30 * DAY, 12 * HOUR)];
    for (window, length, stretch) in cases {
        each_book(|book| {
            let one = Draw { window, ..draw("w", 1, 1) };
            let fits = |when: UnixMs| book.check(std::slice::from_ref(&one), when).is_ok();
            book.hold(&id(1), std::slice::from_ref(&one), NOW).unwrap();
            book.confirm(&id(1), NOW).unwrap();
            assert!(!fits(at(length - 1)) && fits(at(length + stretch)), "{window:?}");
        });
    }
    each_book(|book| {
        book.hold(&id(1), &[draw("t", 1, 1)], NOW).unwrap();
        book.confirm(&id(1), NOW).unwrap();
        assert!(book.check(&[draw("t", 1, 1)], at(1000 * DAY)).is_err(), "a total is for ever");
    });
}

/// The file grows with limits and hosts, and not with payments.
#[test]
fn a_book_stays_small() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spend.json");
    let mut counters = super::counters::Counters::default();
    let windows = [Window::Hour, Window::Day, Window::Month, Window::Total];
    let draws: Vec<Draw> =
        windows.iter().map(|window| Draw { window: *window, ..draw(window.name(), 1, u128::MAX) }).collect();
    let mut largest = 0;
    for nth in 0..20_000_u64 {
        // Every seven minutes for some three months.
        let when = at(nth * 7 * MINUTE);
        counters.hold(&id(nth.into()), &draws, when).unwrap();
        counters.confirm(&id(nth.into()), when);
        largest = largest.max(serde_json::to_vec(&counters).unwrap().len());
    }
    assert!(largest < 32 * 1024, "{largest} bytes");
    assert_eq!(counters.spent("total", at(0)).used().base(), 20_000);
    std::fs::write(path, b"").unwrap();
}

#[test]
fn a_book_that_is_gone_or_was_changed_is_never_taken_for_an_empty_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spend.json");
    let book = FileBook::new(&path);
    book.hold(&id(1), &[draw("a", 4, 10)], NOW).unwrap();
    book.confirm(&id(1), NOW).unwrap();
    let whole = std::fs::read(&path).unwrap();
    // One digit changed, cut anywhere, or a line added.
    let text = String::from_utf8(whole.clone()).unwrap();
    let changed = text.replacen("\"4\"", "\"3\"", 1).into_bytes();
    assert_ne!(changed, whole);
    let mut damages = vec![changed, [whole.as_slice(), b"x"].concat(), Vec::new()];
    damages.extend((1..whole.len()).step_by(7).map(|cut| whole[..cut].to_vec()));
    for damage in damages {
        std::fs::write(&path, &damage).unwrap();
        let codes = [
            book.hold(&id(2), &[draw("a", 1, 10)], NOW).unwrap_err().code(),
            book.spent("a", NOW).unwrap_err().code(),
            book.confirm(&id(1), NOW).unwrap_err().code(),
        ];
        assert_eq!(codes, ["spend_book_damaged"; 3], "{}", String::from_utf8_lossy(&damage));
        assert_eq!(std::fs::read(&path).unwrap(), damage, "it is left as it is");
    }
    std::fs::remove_file(&path).unwrap();
    let error = book.hold(&id(2), &[draw("a", 1, 10)], NOW).unwrap_err();
    assert_eq!(error.code(), "spend_book_missing");
    assert!(error.to_string().contains("farthing policy recount"), "{error}");
    assert!(!path.exists() && book.hold(&id(2), &[], NOW).is_ok(), "what counts nothing needs no book");
    // A journal tells as much when the lock is gone, too.
    std::fs::remove_file(directory.path().join("spend.json.lock")).unwrap();
    std::fs::write(directory.path().join("payments.jsonl"), "").unwrap();
    let witnessed = FileBook::new(&path).witnessed_by(directory.path().join("payments.jsonl"));
    assert_eq!(witnessed.spent("a", NOW).unwrap_err().code(), "spend_book_missing");
    // Counted anew, it counts.
    let spending = super::Spending {
        payment: id(1),
        at: NOW,
        draws: vec![draw("a", 4, 10), hourly(4)],
        certainty: super::Certainty::Confirmed,
    };
    let held = super::Spending { payment: id(2), certainty: super::Certainty::Held, ..spending.clone() };
    witnessed.recount(vec![spending, held], NOW).unwrap();
    assert_eq!((stands(&witnessed, "a"), stands(&witnessed, "h")), ((4, 4), (4, 4)));
}

#[test]
fn a_run_has_counters_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let book = || super::RunBook::new(FileBook::new(directory.path().join("spend.json")));
    let both = [draw("run total x", 1, 2), draw("total x", 1, 3)];
    let first = book();
    for nth in [1, 2] {
        first.hold(&id(nth), &both, NOW).unwrap();
        first.confirm(&id(nth), NOW).unwrap();
    }
    assert!(first.hold(&id(3), &both, NOW).is_err(), "the run is over its limit");
    let second = book();
    second.hold(&id(3), &both, NOW).unwrap();
    assert!(second.hold(&id(4), &both, NOW).is_err(), "all runs together are");
    assert_eq!((stands(&second, "run total x"), stands(&second, "total x")), ((0, 1), (2, 1)));
    second.release(&id(3)).unwrap();
    assert_eq!((stands(&second, "run total x"), stands(&second, "total x")), ((0, 0), (2, 0)));
}

proptest! {
    /// Any mix of steps leaves the same as adding and taking away by hand, and never more than the limit.
    #[test]
    fn a_book_agrees_with_sums(steps in proptest::collection::vec((0_u8..3, 0_u128..8, 1_u128..50), 0..60)) {
        const LIMIT: u128 = 100;
        let book = MemoryBook::new();
        let mut open = std::collections::BTreeMap::new();
        let mut confirmed = 0;
        for (step, payment, units) in steps {
            match step {
                0 if !open.contains_key(&payment) => {
                    let used: u128 = confirmed + open.values().sum::<u128>();
                    let held = book.hold(&id(payment), &[draw("a", units, LIMIT)], NOW).is_ok();
                    prop_assert_eq!(held, used + units <= LIMIT);
                    if held {
                        open.insert(payment, units);
                    }
                }
                1 => {
                    book.confirm(&id(payment), NOW).unwrap();
                    confirmed += open.remove(&payment).unwrap_or(0);
                }
                2 => {
                    book.release(&id(payment)).unwrap();
                    open.remove(&payment);
                }
                _ => {}
            }
            prop_assert_eq!(stands(&book, "a"), (confirmed, open.values().sum::<u128>()));
        }
    }

    /// Whatever the order of spending and of the clock's jumps back: within any hour as a steady clock has it, no more is
    /// spent than the limit, and what is refused would have passed it within an hour and a minute.
    #[test]
    fn no_hour_holds_more_than_its_limit(steps in proptest::collection::vec((0_u64..40, 1_u128..6), 1..60)) {
        let book = MemoryBook::new();
        let mut spent: Vec<(u64, u128)> = Vec::new();
        let mut time = 0;
        for (nth, (minutes, units)) in steps.into_iter().enumerate() {
            time += minutes * MINUTE + 7_000;
            let within = |span: u64| -> u128 {
                spent.iter().filter(|(when, _)| when + span > time).map(|(_, units)| units).sum()
            };
            let (hour, longer) = (within(HOUR), within(HOUR + MINUTE));
            if spend(&book, nth as u128, units, at(time)) {
                spent.push((time, units));
                prop_assert!(hour + units <= 10);
            } else {
                prop_assert!(longer + units > 10);
            }
        }
    }
}
