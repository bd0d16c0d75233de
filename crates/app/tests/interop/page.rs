//! The table as a page: made by the test run, never by hand.

use crate::cell::{Cell, Direction, Kind, Verdict};

/// The page.
pub(crate) fn render(cells: &[Cell]) -> String {
    let mut page = String::from(
        "# Interoperability\n\nMade by the test run (`cargo xtask test`, then `cargo xtask interop-page`); every cell is one paid \
         call that was served, with a receipt that the chain confirms and balances that add up.\n",
    );
    let mut reasons: Vec<&'static str> = Vec::new();
    for (direction, title) in [
        (Direction::TheyPay, "Their client pays `farthing serve`"),
        (Direction::WePay, "`farthing request` pays their server"),
    ] {
        page.push_str(&format!("\n## {title}\n\n| counterpart | chain |"));
        for kind in Kind::ALL {
            page.push_str(&format!(" {} |", kind.name()));
        }
        page.push_str("\n|---|---|");
        page.push_str(&"---|".repeat(Kind::ALL.len()));
        page.push('\n');
        let mut rows: Vec<(&str, &str)> = Vec::new();
        for cell in cells.iter().filter(|cell| cell.direction == direction) {
            if !rows.contains(&(cell.peer.name(), cell.chain)) {
                rows.push((cell.peer.name(), cell.chain));
            }
        }
        rows.sort_unstable();
        for (peer, chain) in rows {
            page.push_str(&format!("| {peer} | {chain} |"));
            for kind in Kind::ALL {
                let here = |c: &&Cell| {
                    c.direction == direction && c.peer.name() == peer && c.chain == chain && c.kind == *kind
                };
                let mark = cells.iter().find(here).map_or_else(String::new, |cell| mark(cell, &mut reasons));
                page.push_str(&format!(" {mark} |"));
            }
            page.push('\n');
        }
    }
    if !reasons.is_empty() {
        page.push_str("\nNot possible with that SDK:\n\n");
        for (index, reason) in reasons.iter().enumerate() {
            page.push_str(&format!("{}. {reason}\n", index + 1));
        }
    }
    page
}

fn mark(cell: &Cell, reasons: &mut Vec<&'static str>) -> String {
    match &cell.verdict {
        Verdict::Passed => "yes".to_owned(),
        Verdict::Failed(_) => "**no**".to_owned(),
        Verdict::Cannot(why) => {
            let index = reasons.iter().position(|known| known == why).unwrap_or_else(|| {
                reasons.push(why);
                reasons.len() - 1
            });
            format!("n/a ({})", index + 1)
        }
    }
}
