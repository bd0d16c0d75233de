//! What the gateway counts, by name: docs/operations.md lists the same. Labels are names of routes and rails, codes, statuses and
//! assets: their number is bounded by the configuration, whatever clients send.

use std::time::Duration;

use farthing_gate::observe::{GateEvent, RequestEnd, UpstreamAnswer};
use farthing_money::{Asset, AssetKind, Money};
use http::StatusCode;

use super::metrics::{Counter, Family, Gauge, Sum, Times};
use super::text::Page;

/// The label of a route where none matched. No route has this name: those have a space.
const NO_ROUTE: &str = "none";

/// Money in two sums that lose nothing where numbers have 53 bits: whole units, and what each payment has beside them.
pub struct MoneySums {
    units: Family<Sum, 5>,
    rest: Family<Sum, 5>,
}

macro_rules! exported {
    ($($field:ident: $kind:ty, $n:literal = $name:literal, [$($label:literal),*], $help:literal;)*) => {
        /// Every family but those of money.
        pub struct Exported {
            $(pub $field: Family<$kind, $n>,)*
            pub settled_money: MoneySums,
            pub refunded_money: MoneySums,
        }

        impl Exported {
            pub fn new() -> Self {
                Self {
                    $($field: Family::new($name, $help, [$($label),*]),)*
                    settled_money: MoneySums::settled(),
                    refunded_money: MoneySums::refunded(),
                }
            }

            /// Everything as text.
            pub fn page(&self) -> String {
                let mut page = Page::default();
                $(page.family(&self.$field);)*
                self.settled_money.write(&mut page);
                self.refunded_money.write(&mut page);
                page.into_text()
            }
        }
    };
}

exported! {
    build: Gauge, 1 = "farthing_build_info", ["version"], "Always 1; the version is the label.";
    started: Gauge, 0 = "farthing_start_time_seconds", [], "When the process started, in seconds since 1970.";
    requests: Counter, 3 = "farthing_requests_total", ["route", "status", "code"],
        "Requests that have ended, with the code of the gateway's own answer.";
    request_time: Times, 1 = "farthing_request_duration_seconds", ["route"],
        "From a request's head to its answer's last byte, for requests that were served by the upstream.";
    in_flight: Gauge, 1 = "farthing_in_flight", ["what"],
        "Connections, requests, verifications and paid deliveries that are going on.";
    offers: Counter, 2 = "farthing_offers_total", ["route", "code"],
        "Answers 402 with challenges; payment_required when nothing was paid.";
    refusals: Counter, 2 = "farthing_refusals_total", ["route", "code"], "Other answers of the gateway's own.";
    limited: Counter, 2 = "farthing_rate_limited_total", ["route", "code"], "Requests past a limit on how often.";
    verify_time: Times, 2 = "farthing_verify_duration_seconds", ["rail", "outcome"],
        "How long a rail took to verify a payment; ok or failed.";
    failures: Counter, 4 = "farthing_payment_failures_total", ["route", "rail", "stage", "code"],
        "Payments that were not taken, by what failed: verify, claim or settle.";
    claims: Counter, 3 = "farthing_claims_total", ["route", "rail", "outcome"],
        "What the store said to payments: new, existing, taken, over_budget or failed.";
    claim_time: Times, 0 = "farthing_claim_duration_seconds", [], "How long the store took to claim a payment.";
    payments: Counter, 3 = "farthing_payments_total", ["route", "rail", "outcome"],
        "Settlements: settled, failed or unknown.";
    settle_time: Times, 2 = "farthing_settle_duration_seconds", ["rail", "outcome"],
        "How long a rail took to settle a payment; settled, failed or unknown.";
    deliveries: Counter, 2 = "farthing_deliveries_total", ["route", "status"], "Paid calls that were served.";
    delivery_time: Times, 1 = "farthing_delivery_duration_seconds", ["route"],
        "From a settled payment to the last byte of what it bought.";
    credits: Counter, 2 = "farthing_credits_total", ["route", "why"],
        "Paid calls that were not served and are owed: status, no_answer, body_broke or dropped.";
    uncharged: Counter, 2 = "farthing_uncharged_total", ["route", "why"],
        "Calls that were to be settled after the upstream, failed there, and cost nothing.";
    replays: Counter, 1 = "farthing_replays_served_total", ["route"], "Stored answers that were served again.";
    refunds: Counter, 2 = "farthing_refunds_total", ["route", "rail"], "Payments that went back.";
    resolutions: Counter, 2 = "farthing_resolutions_total", ["rail", "fate"],
        "Questions about payments whose outcome was unknown: settled, failed or pending.";
    upstream: Counter, 3 = "farthing_upstream_responses_total", ["route", "status", "code"],
        "What the upstream answered, or why it gave no answer.";
    upstream_time: Times, 1 = "farthing_upstream_head_seconds", ["route"], "How long the upstream took to begin its answer.";
    store_errors: Counter, 1 = "farthing_store_errors_total", ["during"], "Times that the store failed.";
    panics: Counter, 0 = "farthing_panics_total", [], "Panics. Each is a defect: please report it.";
    spans: Counter, 1 = "farthing_trace_spans_total", ["outcome"], "Spans for traces: exported, or dropped.";
}

impl MoneySums {
    const LABELS: [&'static str; 5] = ["route", "rail", "asset", "token", "scale"];

    fn settled() -> Self {
        Self {
            units: Family::new(
                "farthing_settled_units_total",
                "Whole units of what was settled, such as dollars. Add farthing_settled_rest_base_units_total.",
                Self::LABELS,
            ),
            rest: Family::new(
                "farthing_settled_rest_base_units_total",
                "Base units of what was settled beside the whole units of each payment; 10^scale are a unit.",
                Self::LABELS,
            ),
        }
    }

    fn refunded() -> Self {
        Self {
            units: Family::new(
                "farthing_refunded_units_total",
                "Whole units of what went back.",
                Self::LABELS,
            ),
            rest: Family::new(
                "farthing_refunded_rest_base_units_total",
                "Base units of what went back beside the whole units of each refund; 10^scale are a unit.",
                Self::LABELS,
            ),
        }
    }

    fn add(&self, route: &str, rail: &str, money: &Money) {
        let asset = money.asset();
        let scale = asset.scale().to_string();
        let labels = [route, rail, asset.code(), token(asset), &scale];
        let unit = 10_u128.saturating_pow(u32::from(asset.scale()));
        let base = money.amount().base();
        self.units.with(labels).add(base / unit);
        self.rest.with(labels).add(base % unit);
    }

    fn write(&self, page: &mut Page) {
        page.family(&self.units);
        page.family(&self.rest);
    }
}

/// The token's address: a code alone does not say which token it is.
fn token(asset: &Asset) -> &str {
    if let AssetKind::Token { address, .. } = asset.kind() { address } else { "" }
}

impl Exported {
    /// Counts an event.
    pub fn count(&self, event: &GateEvent<'_>) {
        match *event {
            GateEvent::Offered { route, code } => self.offers.with([route, code]).add(1),
            GateEvent::Refused { route, code } => {
                self.refusals.with([route.unwrap_or(NO_ROUTE), code]).add(1);
            }
            GateEvent::RateLimited { route, code } => {
                self.limited.with([route.unwrap_or(NO_ROUTE), code]).add(1);
            }
            GateEvent::Verified { rail, took, .. } => self.verify_time.with([rail, "ok"]).record(took),
            GateEvent::VerifyFailed { route, rail, code, took } => {
                self.verify_time.with([rail, "failed"]).record(took);
                self.failures.with([route, rail, "verify", code]).add(1);
            }
            GateEvent::Claimed { route, rail, outcome, took } => {
                self.claim_time.with([]).record(took);
                self.claims.with([route, rail, outcome.name()]).add(1);
            }
            GateEvent::Settled { route, rail, money, took } => {
                self.settlement(route, rail, ("settled", took));
                if let Some(money) = money {
                    self.settled_money.add(route, rail, money);
                }
            }
            GateEvent::SettleFailed { route, rail, code, took } => {
                self.settlement(route, rail, ("failed", took));
                self.failures.with([route, rail, "settle", code]).add(1);
            }
            GateEvent::OutcomeUnknown { route, rail, took } => {
                self.settlement(route, rail, ("unknown", took));
            }
            GateEvent::Refunded { route, rail, money } => {
                self.refunds.with([route, rail]).add(1);
                if let Some(money) = money {
                    self.refunded_money.add(route, rail, money);
                }
            }
            GateEvent::Resolved { rail, fate } => self.resolutions.with([rail, fate.name()]).add(1),
            GateEvent::StoreError { during } => self.store_errors.with([during]).add(1),
            _ => self.count_serving(event),
        }
    }

    fn count_serving(&self, event: &GateEvent<'_>) {
        match *event {
            GateEvent::Delivered { route, status, upstream } => {
                self.deliveries.with([route, Status::of(status).text()]).add(1);
                self.delivery_time.with([route]).record(upstream);
            }
            GateEvent::Credited { route, why } => self.credits.with([route, why.name()]).add(1),
            GateEvent::Uncharged { route, why } => self.uncharged.with([route, why.name()]).add(1),
            GateEvent::ReplayServed { route } => self.replays.with([route]).add(1),
            GateEvent::Upstream { route, answer, head } => {
                let route = route.unwrap_or(NO_ROUTE);
                self.upstream_time.with([route]).record(head);
                match answer {
                    UpstreamAnswer::Status(status) => {
                        self.upstream.with([route, Status::of(status).text(), ""]).add(1);
                    }
                    UpstreamAnswer::Failed { code } => self.upstream.with([route, "", code]).add(1),
                    _ => {}
                }
            }
            GateEvent::Ended(end) => self.ended(end),
            // What a later gate tells is not counted before it has a name here.
            _ => {}
        }
    }

    fn settlement(&self, route: &str, rail: &str, (outcome, took): (&str, Duration)) {
        self.payments.with([route, rail, outcome]).add(1);
        self.settle_time.with([rail, outcome]).record(took);
    }

    fn ended(&self, end: &RequestEnd<'_>) {
        let route = end.route.unwrap_or(NO_ROUTE);
        let status = Status::of(end.status);
        self.requests.with([route, status.text(), end.code.unwrap_or_default()]).add(1);
        if end.upstream.is_some() {
            self.request_time.with([route]).record(end.took);
        }
    }
}

/// A status as a label, without a copy.
struct Status(StatusCode);

impl Status {
    /// An upstream's status has three digits; whatever has not is 500.
    fn of(status: u16) -> Self {
        Self(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
    }

    fn text(&self) -> &str {
        self.0.as_str()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use farthing_money::Amount;

    use super::*;

    fn usd(base: u128, scale: u8) -> Money {
        let kind = AssetKind::Token { network: "eip155:1".into(), address: "0xab".into() };
        Money::new(Amount::from_base(base), Asset::new("USD", scale, kind).unwrap())
    }

    /// Sums past 2^53 and past 2^64 are exact.
    #[test]
    fn no_money_is_lost() {
        let exported = Exported::new();
        let big = (1_u128 << 64) * 1_000_000 + 999_999;
        for base in [50_000, 999_999, 1_000_000, big, big] {
            let money = usd(base, 6);
            let settled =
                GateEvent::Settled { route: "GET /a", rail: "r", money: Some(&money), took: Duration::ZERO };
            exported.count(&settled);
        }
        let page = exported.page();
        let labels = "{route=\"GET /a\",rail=\"r\",asset=\"USD\",token=\"0xab\",scale=\"6\"}";
        let units = 1 + 2 * (1_u128 << 64);
        for line in [
            format!("farthing_settled_units_total{labels} {units}"),
            format!("farthing_settled_rest_base_units_total{labels} {}", 50_000 + 3 * 999_999),
            "farthing_payments_total{route=\"GET /a\",rail=\"r\",outcome=\"settled\"} 5".to_owned(),
        ] {
            assert!(page.lines().any(|l| l == line), "{line}\n{page}");
        }
    }

    /// docs/operations.md lists what is exported, and nothing else.
    #[test]
    fn every_metric_is_documented_and_every_documented_one_exists() {
        let page = Exported::new().page();
        let exported = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let exported: BTreeSet<(&str, &str)> = exported.collect();
        let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
        let document = std::fs::read_to_string(document).unwrap();
        let mut documented = BTreeSet::new();
        for row in document.lines().filter(|line| line.starts_with("| `farthing_")) {
            let cells: Vec<&str> = row.split(" | ").collect();
            let names = cells[0].split('`').filter(|part| part.starts_with("farthing_"));
            if matches!(cells[1], "counter" | "gauge" | "histogram") {
                documented.extend(names.map(|name| (name, cells[1])));
            }
        }
        assert_eq!(exported, documented);
    }

    #[test]
    fn an_asset_may_have_any_scale() {
        for scale in [0, 18, Asset::MAX_SCALE] {
            let exported = Exported::new();
            let money = usd(u128::MAX, scale);
            exported.settled_money.add("r", "x", &money);
            let labels = ["r", "x", "USD", "0xab", &scale.to_string()];
            let unit = 10_u128.pow(u32::from(scale));
            let sum = exported.settled_money.units.with(labels).get() * unit
                + exported.settled_money.rest.with(labels).get();
            assert_eq!(sum, u128::MAX, "{scale}");
        }
    }
}
