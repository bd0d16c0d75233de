#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::rank;

const OFFERS: [(&str, &str); 4] =
    [("stripe", "charge"), ("tempo", "charge"), ("tempo", "session"), ("solana", "charge")];

/// Core, section 7.5. The first rows are the draft's own examples.
#[test]
fn offers_are_ranked_by_preference() {
    let all = &[0, 1, 2, 3][..];
    let cases: &[(Option<&str>, &[usize])] = &[
        (Some("tempo/charge, tempo/session, stripe/charge;q=0.5, solana/charge;q=0.3"), &[1, 2, 0, 3]),
        (Some("tempo/*, solana/*;q=0.6, */session;q=0.3"), &[1, 2, 3]),
        (Some("tempo/charge, tempo/session;q=0, solana/charge"), &[1, 3]),
        (None, all),
        (Some(""), all),
        (Some(" , ,"), all),
        (Some("*/*"), all),
        (Some("*/*;q=0"), all),
        (Some("lightning/charge"), all),
        (Some("tempo/charge;q=0.5, */*;q=0.1"), &[1, 0, 2, 3]),
        (Some("tempo/charge;q=0, tempo/*"), &[2]),
        (Some("*/charge;q=0.2, tempo/charge;q=0.9, */*;q=0.5"), &[1, 2, 0, 3]),
        (Some("tempo/session;q=0.2,tempo/session;q=0.8,tempo/charge;q=0.5"), &[2, 1]),
        (Some("tempo/charge;Q=0.001 , stripe/charge ; q = 1.000"), &[0, 1]),
        (Some("tempo/charge;foo=bar;q=0.1, solana/charge;q=0.2"), &[3, 1]),
        // Malformed: as if absent.
        (Some("tempo"), all),
        (Some("tempo/"), all),
        (Some("/charge"), all),
        (Some("Tempo/charge"), all),
        (Some("tempo/charge;q=2"), all),
        (Some("tempo/charge;q=1.001"), all),
        (Some("tempo/charge;q=0.1234"), all),
        (Some("tempo/charge;q=-1"), all),
        (Some("tempo/charge;q="), all),
        (Some("tempo/charge;q"), all),
        (Some("tempo/charge, te mpo/charge"), all),
        (Some("tempo/charge/x"), all),
    ];
    for (accept, expected) in cases {
        assert_eq!(rank(*accept, &OFFERS), *expected, "{accept:?}");
    }
    assert!(rank(Some("tempo/charge"), &[]).is_empty());
}

proptest! {
    #[test]
    fn any_value_yields_some_of_the_offers_once(accept in "\\PC{0,80}|([a-z*]{1,6}/[a-z*]{1,7}(;q=[01](\\.[0-9]{0,3})?)?,?){0,8}") {
        let ranked = rank(Some(&accept), &OFFERS);
        let mut sorted = ranked.clone();
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(sorted.len(), ranked.len());
        prop_assert!(!ranked.is_empty() && ranked.iter().all(|index| *index < OFFERS.len()));
    }
}
