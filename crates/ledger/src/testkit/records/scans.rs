//! Pages of a table: every prefix, cursor and direction, against a filter over all keys.

use super::{Fixture, OTHERS, THINGS, applied, delete, put};
use crate::record::{Expect, MAX_KEY, Order, RecordChange, RecordKey, RecordStore, Scan};
use crate::store::MAX_PAGE;

pub(super) async fn run<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    pages_are_what_a_filter_finds(fixture).await;
    a_page_has_a_longest_length(fixture).await;
}

/// Keys that end where others begin, that mean something to databases, and whose order by bytes is not the dictionary's.
fn keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "a",
        "a/",
        "a/1",
        "a/10",
        "a/2",
        "a0",
        "ab",
        "b",
        "B",
        "Z",
        "_",
        "_x",
        "ax",
        "%",
        "%x",
        "a%",
        "a%b",
        "a_b",
        "a'b",
        "a\"b",
        "a\\b",
        "a*",
        "a?",
        "[a]",
        "é",
        "e\u{301}",
        "z",
        "ß",
        "\u{d7ff}",
        "\u{e000}",
        "\u{ffff}",
        "\u{10000}",
        "\u{10ffff}",
        "\u{10ffff}\u{10ffff}",
        "\u{10ffff}a",
        "a\u{10ffff}",
        "a\u{10ffff}b",
        "日本",
        "日",
        "日曜",
        "🦀",
        "~",
        " ",
        "  ",
        "a b",
    ]
    .map(str::to_owned)
    .into();
    keys.push("\u{10ffff}".repeat(MAX_KEY / 4));
    keys
}

fn filtered(keys: &[String], scan: &Scan) -> Vec<String> {
    let mut found: Vec<&String> = keys.iter().filter(|key| key.starts_with(&scan.prefix)).collect();
    found.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    if scan.order == Order::Descending {
        found.reverse();
    }
    let beyond = |key: &String| match (&scan.after, scan.order) {
        (None, _) => true,
        (Some(after), Order::Ascending) => key.as_bytes() > after.as_bytes(),
        (Some(after), Order::Descending) => key.as_bytes() < after.as_bytes(),
    };
    found.into_iter().filter(|key| beyond(key)).take(scan.limit).cloned().collect()
}

async fn pages_are_what_a_filter_finds<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = fixture.fresh().await;
    let mut keys = keys();
    let changes = keys.iter().map(|key| put(key, Expect::Absent, key)).collect();
    let version = applied(&store, changes).await;
    let others = ["a/1", "a/11", "c"].map(|key| RecordChange::Put {
        at: RecordKey { table: OTHERS, key: key.to_owned() },
        expect: Expect::Absent,
        body: "other".to_owned(),
    });
    applied(&store, others.into()).await;
    applied(&store, vec![delete("ax", Expect::Present)]).await;
    keys.retain(|key| key != "ax");

    // Also prefixes and cursors that no key can have.
    let strange =
        ["", "ax", "a\0", "\0", "\u{1}", "a\u{7f}", "nothing", "a/1\u{10ffff}", "\u{d7ff}\u{10ffff}"];
    let words: Vec<String> = keys.iter().cloned().chain(strange.map(str::to_owned)).collect();
    let mut cursors: Vec<Option<String>> = words.iter().cloned().map(Some).collect();
    cursors.push(None);
    for (n, prefix) in words.iter().enumerate() {
        // A third of the pairs, so that the suite stays quick over a network.
        for (_, after) in cursors.iter().enumerate().filter(|(m, after)| (n + m) % 3 == 0 || after.is_none())
        {
            for order in [Order::Ascending, Order::Descending] {
                let limits: &[usize] = if after.is_none() { &[0, 1, 2, 1_000, usize::MAX] } else { &[3] };
                for limit in limits {
                    let scan = Scan {
                        table: THINGS,
                        prefix: prefix.clone(),
                        after: after.clone(),
                        order,
                        limit: *limit,
                    };
                    let found = store.scan(scan.clone()).await.expect("the store answers");
                    let names: Vec<String> = found.iter().map(|record| record.key.clone()).collect();
                    assert_eq!(names, filtered(&keys, &scan), "{scan:?}");
                    assert!(
                        found.iter().all(|record| record.body == record.key && record.revision == version)
                    );
                }
            }
        }
    }
    let all = Scan { table: OTHERS, prefix: "a".to_owned(), after: None, order: Order::Ascending, limit: 9 };
    let found = store.scan(all).await.expect("the store answers");
    assert_eq!(found.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), ["a/1", "a/11"]);
}

async fn a_page_has_a_longest_length<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = fixture.fresh().await;
    for part in 0..2 {
        let keys = (part * 600..part * 600 + 600).map(|n| put(&format!("k{n:05}"), Expect::Absent, ""));
        applied(&store, keys.collect()).await;
    }
    for order in [Order::Ascending, Order::Descending] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let scan = Scan { table: THINGS, prefix: "k".to_owned(), after, order, limit: usize::MAX };
            let page = store.scan(scan).await.expect("the store answers");
            assert!(page.len() <= MAX_PAGE, "{}", page.len());
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            seen.extend(page.into_iter().map(|record| record.key));
        }
        if order == Order::Descending {
            seen.reverse();
        }
        let expected: Vec<String> = (0..1_200).map(|n| format!("k{n:05}")).collect();
        assert!(seen == expected, "{order:?}: {} keys", seen.len());
    }
}
