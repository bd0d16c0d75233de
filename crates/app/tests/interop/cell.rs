//! One cell of the table: one paid call, and what makes it pass.

use std::fmt;

use serde_json::Value;

use crate::chain::{Chain, OUR_PAYER, PARTNER, RECIPIENT, THEIR_PAYER};
use crate::farthing::{Gateway, Wallet};
use crate::peer::{PRICE, Peer, SHARE, Server};

/// How the call is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pull,
    Push,
    Proof,
    Sponsored,
    Splits,
}

impl Kind {
    pub(crate) const ALL: &[Self] = &[Self::Pull, Self::Push, Self::Proof, Self::Sponsored, Self::Splits];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Proof => "proof",
            Self::Sponsored => "sponsored",
            Self::Splits => "splits",
        }
    }

    /// What the recipient and the partner earn, in base units.
    const fn income(self) -> (u128, u128) {
        match self {
            Self::Proof => (0, 0),
            Self::Splits => (PRICE - SHARE, SHARE),
            Self::Pull | Self::Push | Self::Sponsored => (PRICE, 0),
        }
    }
}

/// Who pays whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The counterpart's client pays our gateway.
    TheyPay,
    /// Our client pays the counterpart's server.
    WePay,
}

/// What became of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// The SDK cannot, for this reason.
    Cannot(&'static str),
    Failed(String),
}

/// One cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) chain: &'static str,
    pub(crate) peer: Peer,
    pub(crate) kind: Kind,
    pub(crate) direction: Direction,
    pub(crate) verdict: Verdict,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.direction {
            Direction::TheyPay => format!("{} -> farthing", self.peer.name()),
            Direction::WePay => format!("farthing -> {}", self.peer.name()),
        };
        let verdict = match &self.verdict {
            Verdict::Passed => "ok".to_owned(),
            Verdict::Cannot(why) => format!("cannot: {why}"),
            Verdict::Failed(why) => format!("FAILED: {why}"),
        };
        write!(f, "{:8} {:26} {:10} {verdict}", self.chain, who, self.kind.name())
    }
}

/// A counterpart's client pays our gateway.
pub(crate) fn they_pay(chain: &Chain, peer: Peer, kind: Kind, gateway: &Gateway) -> Cell {
    let verdict = peer.client_cannot(kind).map_or_else(
        || {
            let url = format!("{}/{}", gateway.url, kind.name());
            judge(chain, kind, THEIR_PAYER.address, || peer.pay(chain, &url, kind))
        },
        Verdict::Cannot,
    );
    Cell { chain: chain.name, peer, kind, direction: Direction::TheyPay, verdict }
}

/// Our client pays a counterpart's server.
pub(crate) fn we_pay(chain: &Chain, peer: Peer, kind: Kind, server: &Server) -> Cell {
    let verdict = peer.server_cannot(kind, chain).map_or_else(
        || {
            let url = format!("{}{}", server.url, peer.route(kind));
            let wallet = Wallet::new();
            judge(chain, kind, OUR_PAYER.address, || wallet.request(chain, &url, kind))
        },
        Verdict::Cannot,
    );
    Cell { chain: chain.name, peer, kind, direction: Direction::WePay, verdict }
}

/// Served, with a receipt of a payment that the chain knows, and exactly the income that was asked.
fn judge(chain: &Chain, kind: Kind, payer: &str, call: impl FnOnce() -> Value) -> Verdict {
    let balances = || (chain.balance(RECIPIENT), chain.balance(PARTNER), chain.balance(payer));
    let before = balances();
    let answer = call();
    let after = balances();
    if answer["status"] != 200 {
        return Verdict::Failed(answer.to_string());
    }
    let (recipient, partner) = kind.income();
    let income = (after.0 - before.0, after.1 - before.1);
    if income != (recipient, partner) {
        return Verdict::Failed(format!("the income was {income:?}: {answer}"));
    }
    let spent = before.2 - after.2;
    let fee_free = matches!(kind, Kind::Proof | Kind::Sponsored);
    if spent < PRICE.min(recipient + partner) || (fee_free && spent != recipient + partner) {
        return Verdict::Failed(format!("the payer spent {spent}: {answer}"));
    }
    let receipt = answer.get("receipt").filter(|r| !r.is_null()).unwrap_or(&answer["paid"]["receipt"]);
    let reference = receipt["reference"].as_str().unwrap_or_default();
    let known = kind == Kind::Proof && !reference.is_empty() || chain.settled(reference);
    if known {
        Verdict::Passed
    } else {
        Verdict::Failed(format!("no receipt of a settled payment: {answer}"))
    }
}
