//! [`ServiceWallet`]: a wallet of a billing service, charged for the calls that this machine pays.
//!
//! Before a payment: the vendor's price is told, which may block the call; then a hold is placed on the wallet, or on the
//! budget and all above it. After it: the hold is captured with the receipt's reference, or voided. What the service could not
//! be told stays in a ticket, and is told at the next chance.

use std::path::PathBuf;
use std::sync::Arc;

use farthing_billing::service::HoldId;
use farthing_billing::service::Named as _;
use farthing_client::{CallWallet, Captured, PaymentId, WalletCall, WalletError};
use farthing_money::{Amount, Money};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{BillingClient, BillingError};
use super::courier::Courier;
use super::ticket::{Step, Ticket, Tickets};

/// Whose money a call is charged to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeTo {
    /// The customer: `cus_…`.
    pub customer: String,
    /// The unit of work.
    pub subject: Option<String>,
    /// The budget: `bud_…`.
    pub budget: Option<String>,
    /// The product that prices the call: `prod_…`. Without one the customer pays what the vendor takes.
    pub product: Option<String>,
    /// The code of the wallet's asset, where it is not the token's.
    pub asset: Option<String>,
}

/// A wallet of a billing service.
#[derive(Debug)]
pub struct ServiceWallet {
    client: BillingClient,
    courier: Courier,
    tickets: Tickets,
    /// None where calls are no longer charged, and only what is left is told.
    to: Option<ChargeTo>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    may_call: bool,
    #[serde(default)]
    price: Option<Amount>,
}

impl ServiceWallet {
    /// The wallet of `to` with `client`; tickets are kept in `directory`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(
        client: BillingClient,
        directory: PathBuf,
        to: Option<ChargeTo>,
    ) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Self { client, courier: Courier::start()?, tickets: Tickets::new(directory), to }))
    }

    /// The service that still holds the money of a payment, as a ticket in `directory` says.
    ///
    /// # Errors
    /// When the ticket cannot be read.
    pub fn holding(directory: PathBuf, payment: &PaymentId) -> std::io::Result<Option<String>> {
        Ok(Tickets::new(directory).read(payment)?.map(|ticket| ticket.service))
    }

    fn ask<T: Send + 'static>(
        &self,
        question: impl Future<Output = Result<T, BillingError>> + Send + 'static,
    ) -> Result<T, WalletError> {
        match self.courier.ask(question) {
            Some(answer) => answer.map_err(told),
            None => Err(WalletError::Unavailable { why: "the thread that asks has ended".to_owned() }),
        }
    }

    /// Tells the service what a ticket says, and forgets it once that was told.
    fn deliver(&self, ticket: &Ticket) -> Result<(), WalletError> {
        let (client, told) = (self.client.clone(), ticket.clone());
        match self.ask(async move { tell(&client, &told).await }) {
            Ok(()) => {}
            // It cannot be done, and asking again changes nothing: a person has to look.
            Err(WalletError::Refused { code, why }) => {
                tracing::error!(payment = %ticket.payment, hold = ticket.hold, code, why, "a wallet's hold could not be ended");
            }
            Err(error) => return Err(error),
        }
        self.tickets.remove(&ticket.payment).map_err(|error| unwritten(&error))
    }

    /// Keeps what is to be told, then tells it. That it could not be told is no error: it is kept.
    fn end(&self, payment: &PaymentId, step: impl FnOnce(&Ticket) -> Step) -> Result<(), WalletError> {
        let Some(mut ticket) = self.tickets.read(payment).map_err(|error| unwritten(&error))? else {
            return Ok(());
        };
        if ticket.service != self.client.base().as_str() {
            let why =
                format!("its money is held at {}: name that service with --billing-url", ticket.service);
            return Err(WalletError::Unavailable { why });
        }
        ticket.step = step(&ticket);
        self.tickets.write(&ticket).map_err(|error| unwritten(&error))?;
        if let Err(error) = self.deliver(&ticket) {
            tracing::warn!(%payment, %error, "what became of a payment could not be told to the wallet; it is kept, and told later");
        }
        Ok(())
    }
}

impl CallWallet for ServiceWallet {
    fn place(&self, call: &WalletCall) -> Result<(), WalletError> {
        let Some(to) = self.to.clone() else { return Ok(()) };
        let (client, wish) = (self.client.clone(), (to.clone(), call.clone()));
        let amounts = self.ask(async move { amounts(&client, &wish.0, &wish.1).await })?;
        let ticket = Ticket {
            payment: call.payment.clone(),
            service: self.client.base().as_str().to_owned(),
            hold: hold_id(&call.payment)?,
            cost: amounts.cost,
            scale: amounts.scale,
            vendor: call.vendor.clone(),
            offer: call.offer.clone(),
            customer: to.customer.clone(),
            subject: to.subject.clone(),
            product: to.product.clone(),
            step: Step::Held,
        };
        // Before it is asked for: whoever finds the ticket knows what may be held.
        self.tickets.write(&ticket).map_err(|error| unwritten(&error))?;
        let (client, body) = (self.client.clone(), hold_body(&to, call, &ticket, &amounts));
        let once = format!("place-{}", call.payment);
        let placed = self.ask(async move { client.post::<Value>(&["holds"], &once, &body).await });
        if matches!(placed, Err(WalletError::Refused { .. })) {
            self.tickets.remove(&call.payment).map_err(|error| unwritten(&error))?;
        }
        placed.map(drop)
    }

    fn capture(&self, payment: &PaymentId, captured: &Captured) -> Result<(), WalletError> {
        self.end(payment, |ticket| {
            // What cannot be counted exactly is all that was held.
            let cost = captured.cost.as_ref().and_then(|cost| rescale(cost, ticket.scale));
            let amount = cost.map_or(ticket.cost, |cost| cost.min(ticket.cost));
            Step::Capture { amount, reference: captured.reference.clone() }
        })
    }

    fn void(&self, payment: &PaymentId) -> Result<(), WalletError> {
        self.end(payment, |_| Step::Void)
    }

    fn held(&self) -> Result<Vec<PaymentId>, WalletError> {
        let tickets = self.tickets.all().map_err(|error| unwritten(&error))?;
        Ok(tickets
            .into_iter()
            .filter(|ticket| ticket.step == Step::Held)
            .map(|ticket| ticket.payment)
            .collect())
    }

    fn catch_up(&self) -> Result<usize, WalletError> {
        let tickets = self.tickets.all().map_err(|error| unwritten(&error))?;
        let mine = |ticket: &&Ticket| ticket.service == self.client.base().as_str();
        let untold: Vec<&Ticket> =
            tickets.iter().filter(mine).filter(|ticket| ticket.step != Step::Held).collect();
        Ok(untold.iter().filter(|ticket| self.deliver(ticket).is_err()).count())
    }
}

/// What a call costs, in the wallet's base units.
struct Amounts {
    asset: String,
    /// Its decimals.
    scale: u8,
    /// What the vendor takes.
    cost: Amount,
    /// What the customer pays at most.
    price: Amount,
}

/// The price of a call in the wallet's asset; the vendor's quote is told on the way, and may block it.
async fn amounts(client: &BillingClient, to: &ChargeTo, call: &WalletCall) -> Result<Amounts, BillingError> {
    let asset = to.asset.clone().unwrap_or_else(|| call.money.asset().code().to_owned());
    let known = match client.scale(&asset).await {
        // The token of a budget may not look: the asset is then the token's own, decimals and all.
        Err(BillingError::Refused { code, .. }) if code == "token_not_accepted" => {
            Some(call.money.asset().scale())
        }
        known => known?,
    };
    let refused =
        |code: &str, detail: String| BillingError::Refused { code: code.to_owned(), detail, status: 422 };
    let Some(scale) = known else {
        let why = format!(
            "the billing service has no asset {asset}: make it, or name the wallet's with --wallet-asset"
        );
        return Err(refused("wallet_no_asset", why));
    };
    let cost = rescale(&call.money, scale).ok_or_else(|| {
        let why = format!("{} cannot be counted in {asset} exactly: its scale is {scale}", call.money);
        refused("wallet_scale", why)
    })?;
    let mut quote = json!({ "vendor": call.vendor, "offer": call.offer, "asset": asset, "amount": cost });
    if let Some(product) = &to.product {
        quote["sold"] = json!({ "product": product, "quantity": 1, "customer": to.customer });
    }
    let once = format!("quote-{}", call.payment);
    let verdict = match client.post::<Asked>(&["quotes"], &once, &quote).await {
        // The token of a budget spends and does nothing else: its owner's rules about prices are not its to ask.
        Err(BillingError::Refused { code, .. }) if code == "token_not_accepted" && to.product.is_none() => {
            Asked { may_call: true, price: None }
        }
        asked => asked?,
    };
    if !verdict.may_call {
        let why = format!(
            "{} asks for {} for {}: the price changed, or would leave too little; accept it first",
            call.vendor, call.money, call.offer
        );
        return Err(refused("vendor_price_blocked", why));
    }
    Ok(Amounts { asset, scale, cost, price: verdict.price.unwrap_or(cost) })
}

fn hold_body(to: &ChargeTo, call: &WalletCall, ticket: &Ticket, amounts: &Amounts) -> Value {
    let mut body = json!({
        "id": ticket.hold, "customer": to.customer, "asset": amounts.asset, "amount": amounts.price,
        "counterparty": call.vendor, "description": call.offer,
        "metadata": { "payment": call.payment.to_string(), "recipient": call.recipient, "network": call.network },
    });
    for (name, value) in [("budget", &to.budget), ("subject", &to.subject)] {
        if let Some(value) = value {
            body[name] = Value::String(value.clone());
        }
    }
    body
}

/// Tells what became of a hold. A hold that was never placed is void already.
async fn tell(client: &BillingClient, ticket: &Ticket) -> Result<(), BillingError> {
    let Ticket { hold, payment, .. } = ticket;
    let told = match &ticket.step {
        Step::Held => return Ok(()),
        Step::Void => {
            let (once, body) = (format!("void-{payment}"), json!({ "reason": "the payment was not made" }));
            client.post::<Value>(&["holds", hold, "void"], &once, &body).await
        }
        Step::Capture { amount, reference } => match &ticket.product {
            None => {
                let body = json!({ "amount": amount, "final": true, "reference": reference });
                client.post::<Value>(&["holds", hold, "capture"], &format!("capture-{payment}"), &body).await
            }
            Some(product) => {
                let body = json!({
                    "event_id": payment.to_string(), "customer": ticket.customer, "subject": ticket.subject,
                    "product": product, "event_type": "paid_call", "quantity": 1, "hold": hold,
                    "dimensions": { "offer": ticket.offer },
                    "costs": [{ "vendor": ticket.vendor, "amount": amount }],
                });
                client.post::<Value>(&["usage_events"], &format!("usage-{payment}"), &body).await
            }
        },
    };
    match told {
        Err(BillingError::Refused { status: 404, .. }) if ticket.step == Step::Void => Ok(()),
        told => told.map(drop),
    }
}

/// The same amount with another number of decimals; none where it is not exact.
pub(super) fn rescale(money: &Money, scale: u8) -> Option<Amount> {
    let (from, amount) = (money.asset().scale(), money.amount());
    let factor = 10_u128.checked_pow(u32::from(scale.abs_diff(from)))?;
    if scale >= from {
        return amount.checked_mul(factor).ok();
    }
    let whole = amount.base().is_multiple_of(factor);
    whole.then(|| Amount::from_base(amount.base() / factor))
}

/// The hold of a payment: its own id, so that it is placed once. The last byte names the hold's legs.
fn hold_id(payment: &PaymentId) -> Result<String, WalletError> {
    let digits: String = payment.as_str().chars().filter(|c| *c != '-').collect();
    match u128::from_str_radix(&digits, 16) {
        Ok(bits) if digits.len() == 32 => Ok(HoldId::from_u128(bits & !0xff).text()),
        _ => Err(WalletError::Unavailable { why: format!("{payment} is no id that can name a hold") }),
    }
}

fn told(error: BillingError) -> WalletError {
    match error {
        BillingError::Refused { code, detail, .. } => {
            WalletError::Refused { why: format!("the wallet says: {detail} ({code})"), code }
        }
        BillingError::Unavailable { why } => WalletError::Unavailable { why },
    }
}

fn unwritten(error: &std::io::Error) -> WalletError {
    WalletError::Unavailable { why: format!("what is held could not be written down: {error}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use farthing_client::PaymentId;
    use farthing_money::{Amount, Asset, AssetKind, Money};

    use super::{hold_id, rescale};

    #[test]
    fn money_is_rescaled_exactly_or_not_at_all() {
        let money =
            |base| Money::new(Amount::from_base(base), Asset::new("T", 6, AssetKind::Custom).unwrap());
        for (base, scale, expected) in [
            (1_500_000, 6, Some(1_500_000)),
            (1_500_000, 8, Some(150_000_000)),
            (1_500_000, 2, Some(150)),
            (1_500_001, 2, None),
            (u128::MAX, 7, None),
        ] {
            assert_eq!(rescale(&money(base), scale).map(Amount::base), expected, "{base} at {scale}");
        }
    }

    #[test]
    fn a_hold_has_its_payments_id() {
        let payment = PaymentId::parse("01900000-0000-7000-8000-0000000000ab").unwrap();
        assert_eq!(hold_id(&payment).unwrap(), "hold_01900000000070008000000000000000");
        hold_id(&PaymentId::parse("short").unwrap()).unwrap_err();
    }
}
