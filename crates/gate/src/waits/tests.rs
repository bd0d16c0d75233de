#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn id(name: &str) -> ClaimId {
    ClaimId(name.to_owned())
}

/// A payment that is asked about in vain is asked about less and less often; one that is new is not made to wait for it.
#[test]
fn each_payment_waits_for_itself() {
    let options = ResolverOptions { min_wait_ms: 1_000, max_wait_ms: 60_000, ..ResolverOptions::default() };
    let mut waits = Waits::new(options);
    assert_eq!(waits.pause_ms(), 1_000);
    for (times, wait_ms) in
        [(1, 1_000), (2, 2_000), (3, 4_000), (4, 8_000), (5, 16_000), (6, 32_000), (7, 60_000), (8, 60_000)]
    {
        waits.lengthen(id("old"));
        let wait = waits.get(&id("old"));
        assert_eq!((wait.times, wait.left_ms), (times, wait_ms));
        assert_eq!(waits.pause_ms(), wait_ms.min(8_000), "new payments are looked for meanwhile");
    }
    assert_eq!(waits.get(&id("new")).left_ms, 0);
    waits.lengthen(id("new"));
    assert_eq!(waits.pause_ms(), 1_000);
    for (passed_ms, old_ms, new_ms, pause_ms) in
        [(400, 59_600, 600, 1_000), (600, 59_000, 0, 1_000), (58_999, 1, 0, 1_000), (7, 0, 0, 1_000)]
    {
        waits.pass(passed_ms);
        assert_eq!((waits.get(&id("old")).left_ms, waits.get(&id("new")).left_ms), (old_ms, new_ms));
        assert_eq!(waits.pause_ms(), pause_ms);
    }
    for _ in 0..100 {
        waits.lengthen(id("old"));
    }
    assert_eq!(waits.get(&id("old")).left_ms, 60_000);
}

/// Only silence counts against a rail, and any answer ends it.
#[test]
fn a_rail_is_down_when_it_is_silent() {
    let silent = Silent::default();
    for n in 0..40 {
        silent.note("answers", true);
        silent.note("sometimes", n % 16 == 15);
        silent.note("never", false);
        assert_eq!(silent.is_down("never"), n >= 15, "{n}");
    }
    assert_eq!([silent.is_down("answers"), silent.is_down("sometimes"), silent.is_down("other")], [false; 3]);
}
