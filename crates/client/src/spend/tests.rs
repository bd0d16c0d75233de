#![allow(clippy::unwrap_used, reason = "tests")]

use std::thread;

use farthing_money::Amount;
use proptest::prelude::*;

use super::{Draw, FileBook, MemoryBook, SpendBook, SpendError};
use crate::PaymentId;

fn draw(counter: &str, units: u128, limit: u128) -> Draw {
    Draw {
        counter: counter.to_owned(),
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
    let spent = book.spent(counter).unwrap();
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
        book.hold(&id(1), &[draw("a", 4, 10)]).unwrap();
        book.hold(&id(2), &[draw("a", 6, 10)]).unwrap();
        assert_eq!(stands(book, "a"), (0, 10));
        assert_eq!(book.hold(&id(3), &[draw("a", 1, 10)]).unwrap_err().code(), "over_spend_limit");
        book.confirm(&id(1)).unwrap();
        assert_eq!(stands(book, "a"), (4, 6));
        book.release(&id(2)).unwrap();
        assert_eq!(stands(book, "a"), (4, 0));
        // Once confirmed, nothing is given back; a second release gives nothing.
        book.release(&id(1)).unwrap();
        book.release(&id(2)).unwrap();
        book.confirm(&id(9)).unwrap();
        assert_eq!(stands(book, "a"), (4, 0));
        book.hold(&id(4), &[draw("a", 6, 10)]).unwrap();
        assert_eq!(stands(book, "a"), (4, 6));
    });
}

#[test]
fn a_payment_draws_on_every_counter_or_on_none() {
    each_book(|book| {
        let error = book.hold(&id(1), &[draw("a", 5, 10), draw("b", 5, 4)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "0.01 X more does not fit the limit of the rule: 0 of it is spent or held"
        );
        assert_eq!((stands(book, "a"), stands(book, "b")), ((0, 0), (0, 0)));
        // Two limits on one counter: both must hold, for the sum.
        assert!(book.hold(&id(2), &[draw("a", 5, 10), draw("a", 5, 9)]).is_err());
        book.hold(&id(2), &[draw("a", 5, 10), draw("a", 5, 10)]).unwrap();
        assert_eq!(stands(book, "a"), (0, 10));
        book.release(&id(2)).unwrap();
        assert_eq!(stands(book, "a"), (0, 0));
        let huge = draw("a", u128::MAX, u128::MAX);
        book.hold(&id(3), std::slice::from_ref(&huge)).unwrap();
        assert!(book.check(&[huge]).is_err(), "a sum past 128 bits is past every limit");
    });
}

#[test]
fn a_check_writes_nothing() {
    each_book(|book| {
        book.check(&[draw("a", 10, 10)]).unwrap();
        assert!(book.check(&[draw("a", 11, 10)]).is_err());
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
                        if book.hold(&payment, &[draw("a", 1, 40)]).is_ok() {
                            book.confirm(&payment).unwrap();
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
    FileBook::new(&path).hold(&id(1), &[draw("a", 4, 10)]).unwrap();
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
        let error = again.hold(&id(2), &[draw("a", 1, 10)]).unwrap_err();
        assert!(
            matches!(&error, SpendError::Storage { why } if why.contains("damaged")),
            "{damage:?}: {error}"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), damage);
    }
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
                    let held = book.hold(&id(payment), &[draw("a", units, LIMIT)]).is_ok();
                    prop_assert_eq!(held, used + units <= LIMIT);
                    if held {
                        open.insert(payment, units);
                    }
                }
                1 => {
                    book.confirm(&id(payment)).unwrap();
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
}
