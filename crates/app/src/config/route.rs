//! The `[[routes]]` tables: what is sold, for how much, and what is free.

use alloy_primitives::Address;
use farthing_gate::Pattern;
use farthing_money::Amount;
use farthing_protocol::flow::gate::SettleOrder;
use farthing_protocol::ports::Amends;

use super::books::BooksConfig;
use super::read::Section;
use super::tempo::{Modes, TempoConfig, read_modes};
use super::value;
use crate::billing::sales::RouteCost;

/// One route.
#[derive(Debug, Clone)]
pub struct RouteConfig {
    /// The path pattern.
    pub path: String,
    /// Which methods; every one when empty.
    pub methods: Vec<http::Method>,
    /// What it costs.
    pub terms: RouteTerms,
}

/// What a route costs.
#[derive(Debug, Clone)]
pub enum RouteTerms {
    /// Nothing, to anybody.
    Free,
    /// This price.
    Priced(Priced),
}

/// A price and how it is paid.
#[derive(Debug, Clone)]
pub struct Priced {
    /// How much a call costs. Zero asks for a proof of identity.
    pub amount: Amount,
    /// What is sold, for people.
    pub description: Option<String>,
    /// The merchant's own reference.
    pub external_id: Option<String>,
    /// Parts that go to others.
    pub splits: Vec<SplitConfig>,
    /// Who pays the network's fee.
    pub fees: Fees,
    /// Whether the challenge is bound to the request's body.
    pub body: BodyBinding,
    /// How buyers may pay.
    pub modes: Modes,
    /// Whether a payment is settled before the upstream is called, or after it has answered.
    pub settle: SettleOrder,
    /// What the payer of a call gets that the upstream failed.
    pub on_failure: Amends,
    /// What it costs a balance instead, in the asset of `billing.prepaid_asset`.
    pub prepaid: Option<Amount>,
    /// What a call costs us, for the margin.
    pub cost: Option<RouteCost>,
}

/// A part of the price that goes to another account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitConfig {
    /// Who receives it.
    pub recipient: Address,
    /// How much of the price.
    pub amount: Amount,
    /// What the transfer says.
    pub memo: Option<[u8; 32]>,
}

/// Who pays the network's fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fees {
    /// The buyer.
    Buyer,
    /// The sponsor of `[tempo.sponsor]`.
    Sponsored,
}

/// Whether a challenge is bound to the body of the request that it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyBinding {
    /// Any body may be sent with the payment.
    Free,
    /// Only the body that the price was asked for.
    Bound,
}

/// The most parts that a charge may be split into (tempo charge draft).
const MAX_SPLITS: usize = 10;

impl RouteConfig {
    /// `books` is the `[billing]` table: none where there is none, and nothing where it is wrong.
    pub(super) fn read(
        section: &Section<'_>,
        tempo: Option<&TempoConfig>,
        books: Option<Option<&BooksConfig>>,
    ) -> Option<Self> {
        let path = section.require("path", "the path pattern, such as \"/v1/weather\"", path_pattern);
        let methods = read_methods(section);
        let free = section.flag("free").filter(|field| field.value);
        let terms = match (free, section.has("price")) {
            (Some(field), true) => {
                field.fault("is true on a route that has a price; keep one of them");
                None
            }
            (Some(_), false) => Some(RouteTerms::Free),
            (None, _) => read_priced(section, tempo, books).map(RouteTerms::Priced),
        };
        if free_route_has_terms(section, terms.as_ref()) {
            section.fault(
                "is free and has terms of payment; remove them, or write a price instead of free = true",
            );
        }
        section.refuse_unknown();
        Some(Self { path: path?, methods: methods?, terms: terms? })
    }

    /// Whether both would answer the same requests.
    pub fn overlaps(&self, other: &Self) -> bool {
        let shape = |route: &Self| Pattern::parse(&route.path).ok();
        if shape(self) != shape(other) {
            return false;
        }
        self.methods.is_empty()
            || other.methods.is_empty()
            || self.methods.iter().any(|method| other.methods.contains(method))
    }
}

fn free_route_has_terms(section: &Section<'_>, terms: Option<&RouteTerms>) -> bool {
    // Asking makes the keys known, so that a typing error is not told twice.
    let keys = [
        "description",
        "external_id",
        "splits",
        "sponsored",
        "bind_body",
        "modes",
        "settle",
        "on_failure",
        "prepaid",
        "cost",
        "vendor",
    ];
    let present = keys.map(|key| section.has(key));
    matches!(terms, Some(RouteTerms::Free)) && present.iter().skip(1).any(|present| *present)
}

fn path_pattern(text: &str) -> Result<String, String> {
    if text == farthing_gate::server::HEALTH_PATH {
        return Err(format!("the gateway itself answers {text}; give the API's own another path"));
    }
    match Pattern::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{text:?} is not a path pattern: {error}")),
    }
}

fn read_methods(section: &Section<'_>) -> Option<Vec<http::Method>> {
    let Some(fields) = section.texts("methods") else {
        return (!section.has("methods")).then(Vec::new);
    };
    let mut methods = Vec::new();
    for field in fields {
        let upper = field.value.to_ascii_uppercase();
        match http::Method::from_bytes(field.value.as_bytes()) {
            Ok(http::Method::HEAD) => field.fault("goes with GET and costs the same; leave it out"),
            Ok(method) if upper == field.value => methods.push(method),
            _ => field.fault(format!("{:?} is not an HTTP method; write GET, POST, \u{2026}", field.value)),
        }
    }
    Some(methods)
}

fn read_priced(
    section: &Section<'_>,
    tempo: Option<&TempoConfig>,
    books: Option<Option<&BooksConfig>>,
) -> Option<Priced> {
    let amount = section.require("price", "write price = \"0.01\", or free = true", value::amount);
    let text = |text: &str| {
        if text.len() > 512 || text.chars().any(char::is_control) {
            Err("has more than 512 bytes or a control character".to_owned())
        } else {
            Ok(text.to_owned())
        }
    };
    let description = section.parse("description", text);
    let external_id = section.parse("external_id", text);
    let splits = read_splits(section, amount);
    let sponsored = section.flag("sponsored").filter(|field| field.value);
    if let (Some(field), Some(tempo)) = (&sponsored, tempo)
        && tempo.sponsor.is_none()
    {
        field.fault("needs an account that pays the fees: write [tempo.sponsor]");
    }
    let modes = read_modes(section).or(tempo.map(|tempo| tempo.modes)).unwrap_or(Modes::PullAndPush);
    let fees = if sponsored.is_some() { Fees::Sponsored } else { Fees::Buyer };
    if let (Some(field), Modes::Push) = (&sponsored, modes) {
        field.fault("does not go with modes = [\"push\"]: a buyer who broadcasts has paid the fee already");
    }
    let bound = section.flag("bind_body").is_some_and(|field| field.value);
    let prepaid = read_prepaid(section, books);
    let cost = read_cost(section, books);
    let (settle, on_failure) = (read_settle(section, modes), read_on_failure(section, tempo, amount));
    Some(Priced {
        amount: amount?,
        description,
        external_id,
        splits: splits?,
        fees,
        body: if bound { BodyBinding::Bound } else { BodyBinding::Free },
        modes,
        settle,
        on_failure,
        prepaid: prepaid?,
        cost: cost?,
    })
}

/// `None` when it is wrong.
fn read_prepaid(section: &Section<'_>, books: Option<Option<&BooksConfig>>) -> Option<Option<Amount>> {
    let Some(field) = section.text("prepaid") else { return Some(None) };
    let fault = |why: String| {
        field.fault(why);
        None
    };
    match books {
        None => {
            fault("needs a billing service: write [billing] with url, key_file and prepaid_asset".to_owned())
        }
        // What is wrong with it is told there.
        Some(None) => None,
        Some(Some(BooksConfig { prepaid: None, .. })) => {
            fault("needs `prepaid_asset` in [billing]: the asset whose balances pay".to_owned())
        }
        Some(Some(BooksConfig { prepaid: Some(asset), .. })) => {
            match Amount::from_decimal(field.value, asset.scale()) {
                Ok(amount) if amount.is_zero() => fault("is nothing; make the route free instead".to_owned()),
                Ok(amount) => Some(Some(amount)),
                Err(error) => fault(error.to_string()),
            }
        }
    }
}

/// `None` when it is wrong.
fn read_cost(section: &Section<'_>, books: Option<Option<&BooksConfig>>) -> Option<Option<RouteCost>> {
    let (cost, vendor) = (section.text("cost"), section.text("vendor"));
    let Some(cost) = cost else {
        if let Some(field) = vendor {
            field.fault("needs `cost`: what the vendor takes for a call");
        }
        return Some(None);
    };
    if books.is_none() {
        cost.fault("needs a billing service to book it in: write [billing] with url and key_file");
        return None;
    }
    match value::amount(cost.value) {
        Ok(amount) => {
            let vendor = vendor.map_or("upstream", |field| field.value).to_owned();
            Some(Some(RouteCost { vendor, amount }))
        }
        Err(why) => {
            cost.fault(why);
            None
        }
    }
}

fn read_settle(section: &Section<'_>, modes: Modes) -> SettleOrder {
    let read = section.parse("settle", |text| match text {
        "before" => Ok(SettleOrder::Before),
        "after" => Ok(SettleOrder::After),
        _ => Err(format!("{text:?} is neither \"before\" nor \"after\" the upstream")),
    });
    if let (Some(SettleOrder::After), Modes::Push, Some(field)) = (read, modes, section.text("settle")) {
        field.fault("does not go with modes = [\"push\"]: the money of a buyer who broadcasts has moved before the call");
    }
    read.unwrap_or_default()
}

fn read_on_failure(section: &Section<'_>, tempo: Option<&TempoConfig>, price: Option<Amount>) -> Amends {
    let read = section.parse("on_failure", |text| match text {
        "credit" => Ok(Amends::Credit),
        "refund" => Ok(Amends::Refund),
        _ => Err(format!("{text:?} is neither \"credit\" nor \"refund\"")),
    });
    if let (Some(Amends::Refund), Some(field)) = (read, section.text("on_failure")) {
        if tempo.is_some_and(|tempo| tempo.refunds.is_none()) {
            field.fault("needs an account that gives the money back: write [tempo.refunds]");
        }
        if price.is_some_and(Amount::is_zero) {
            field.fault("does not go with a price of 0: there is nothing to give back");
        }
    }
    read.unwrap_or(Amends::Credit)
}

fn read_splits(section: &Section<'_>, price: Option<Amount>) -> Option<Vec<SplitConfig>> {
    let tables = section.sections("splits");
    let splits: Vec<Option<SplitConfig>> = tables.iter().map(read_split).collect();
    if splits.len() > MAX_SPLITS {
        section.fault(format!("has {} splits; a charge has at most {MAX_SPLITS}", splits.len()));
        return None;
    }
    let splits = splits.into_iter().collect::<Option<Vec<_>>>()?;
    let shared = Amount::sum(splits.iter().map(|split| split.amount)).ok()?;
    match price {
        // TC5: something is left for the recipient.
        Some(price) if !splits.is_empty() && shared >= price => {
            section.fault(format!(
                "its splits come to {}, and something of the price of {} has to be left for the recipient",
                shared.to_decimal(value::USD_SCALE),
                price.to_decimal(value::USD_SCALE)
            ));
            None
        }
        _ => Some(splits),
    }
}

fn read_split(section: &Section<'_>) -> Option<SplitConfig> {
    let recipient = section.require("recipient", "who receives it: 0x and 40 hex digits", value::address);
    let amount = section.require("amount", "how much of the price, such as \"0.001\"", |text| {
        let amount = value::amount(text)?;
        if amount.is_zero() { Err("is nothing; a split is more than 0".into()) } else { Ok(amount) }
    });
    let memo = section.parse("memo", value::memo);
    section.refuse_unknown();
    Some(SplitConfig { recipient: recipient?, amount: amount?, memo })
}
