//! [`ChargeRequest`]: the `request` of a Tempo charge (`draft-tempo-charge-00`, section 4). It holds terms, not whose they
//! are: sellers compare them with their own, buyers with their policy.

use alloy_primitives::{Address, B256};
use farthing_money::Amount;
use farthing_protocol::EncodedJson;
use serde_json::{Map, Value, json};

use super::did::{parse_address, parse_word};
use super::error::ChargeError;
use super::memo;

/// Who pays the network's fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fee {
    /// The payer.
    Payer,
    /// The seller sponsors it.
    Seller,
}

/// A way to hand a payment over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The payer signs, the seller broadcasts.
    Pull,
    /// The payer broadcasts and sends the hash.
    Push,
}

impl Mode {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
        }
    }
}

/// The modes that a challenge offers. Both, unless it says so (TC2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Modes {
    /// Pull and push.
    #[default]
    Both,
    /// This one.
    Only(Mode),
}

impl Modes {
    /// Whether `mode` is offered.
    #[must_use]
    pub fn allow(self, mode: Mode) -> bool {
        match self {
            Self::Both => true,
            Self::Only(only) => only == mode,
        }
    }
}

/// A part of the amount that goes to another recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Split {
    /// Who receives it.
    pub recipient: Address,
    /// How much.
    pub amount: Amount,
    /// The memo that the transfer carries, exactly.
    pub memo: Option<B256>,
}

/// The terms of a charge, checked: amounts are canonical, splits obey TC5, and a charge of more than zero has a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeRequest {
    /// The whole amount, in base units.
    pub amount: Amount,
    /// The token.
    pub currency: Address,
    /// Who receives what the splits leave. Only a charge of zero may have none.
    pub recipient: Option<Address>,
    /// For people (C11).
    pub description: Option<String>,
    /// The merchant's reference.
    pub external_id: Option<String>,
    /// The chain. We always say it; others may leave it out.
    pub chain_id: Option<u64>,
    /// Who pays the network's fee.
    pub fee: Fee,
    /// Parts that go elsewhere.
    pub splits: Vec<Split>,
    /// Ways to pay.
    pub modes: Modes,
}

impl ChargeRequest {
    /// The most splits (TC5).
    pub const MAX_SPLITS: usize = 10;

    /// Reads the encoded request of a challenge.
    ///
    /// # Errors
    /// [`ChargeError`], naming the field.
    pub fn decode(encoded: &EncodedJson) -> Result<Self, ChargeError> {
        let value = encoded
            .decode::<Value>()
            .map_err(|error| ChargeError::RequestUnreadable { why: error.to_string() })?;
        Self::from_json(&value)
    }

    /// Reads the request. Unknown fields are ignored (C12).
    ///
    /// # Errors
    /// [`ChargeError`], naming the field.
    pub fn from_json(value: &Value) -> Result<Self, ChargeError> {
        let fields = value
            .as_object()
            .ok_or_else(|| ChargeError::RequestUnreadable { why: "it is not an object".into() })?;
        let empty = Map::new();
        let details = match fields.get("methodDetails") {
            None | Some(Value::Null) => &empty,
            Some(Value::Object(details)) => details,
            Some(_) => return Err(invalid("methodDetails", "an object")),
        };
        if present(details, "memo").is_some() || present(fields, "memo").is_some() {
            return Err(ChargeError::MemoUnsupported);
        }
        let request = Self {
            amount: amount(fields, "amount")?,
            currency: address(fields, "currency")?.ok_or(missing("currency"))?,
            recipient: address(fields, "recipient")?,
            description: text(fields, "description")?,
            external_id: text(fields, "externalId")?,
            chain_id: chain_id(details)?,
            fee: fee(details)?,
            splits: splits(details)?,
            modes: modes(details)?,
        };
        request.check()?;
        Ok(request)
    }

    /// Checks what holds between fields: splits (TC5), the recipient.
    ///
    /// # Errors
    /// [`ChargeError`].
    pub fn check(&self) -> Result<(), ChargeError> {
        if self.recipient.is_none() && !self.amount.is_zero() {
            return Err(missing("recipient"));
        }
        if self.splits.len() > Self::MAX_SPLITS {
            return Err(ChargeError::SplitCount { max: Self::MAX_SPLITS, given: self.splits.len() });
        }
        if self.splits.iter().any(|split| split.amount.is_zero()) {
            return Err(ChargeError::SplitZero);
        }
        if self.splits.iter().filter_map(|split| split.memo).any(|memo| memo::is_attribution(&memo)) {
            return Err(ChargeError::SplitMemo);
        }
        let sum =
            Amount::sum(self.splits.iter().map(|split| split.amount)).map_err(|_| ChargeError::SplitSum)?;
        if !self.splits.is_empty() && sum >= self.amount {
            return Err(ChargeError::SplitSum);
        }
        Ok(())
    }

    /// What the recipient receives when the splits are taken off.
    #[must_use]
    pub fn primary_amount(&self) -> Amount {
        self.splits
            .iter()
            .fold(self.amount, |left, split| left.checked_sub(split.amount).unwrap_or(Amount::ZERO))
    }

    /// The request as JSON. Addresses are checksummed; what is absent or the default is left out (TC2).
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("amount".into(), json!(self.amount));
        fields.insert("currency".into(), json!(self.currency.to_string()));
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                fields.insert(name.into(), Value::String(value));
            }
        };
        put("recipient", self.recipient.map(|recipient| recipient.to_string()));
        put("description", self.description.clone());
        put("externalId", self.external_id.clone());
        let details = self.details();
        if !details.is_empty() {
            fields.insert("methodDetails".into(), Value::Object(details));
        }
        Value::Object(fields)
    }

    fn details(&self) -> Map<String, Value> {
        let mut details = Map::new();
        if let Some(chain_id) = self.chain_id {
            details.insert("chainId".into(), json!(chain_id));
        }
        if self.fee == Fee::Seller {
            details.insert("feePayer".into(), Value::Bool(true));
        }
        if !self.splits.is_empty() {
            let split = |split: &Split| {
                let mut fields = Map::new();
                fields.insert("amount".into(), json!(split.amount));
                fields.insert("recipient".into(), json!(split.recipient.to_string()));
                if let Some(memo) = split.memo {
                    fields.insert("memo".into(), json!(memo.to_string()));
                }
                Value::Object(fields)
            };
            details.insert("splits".into(), self.splits.iter().map(split).collect());
        }
        if let Modes::Only(mode) = self.modes {
            details.insert("supportedModes".into(), json!([mode.name()]));
        }
        details
    }
}

const fn missing(field: &'static str) -> ChargeError {
    ChargeError::FieldMissing { field }
}

const fn invalid(field: &'static str, expected: &'static str) -> ChargeError {
    ChargeError::FieldInvalid { field, expected }
}

fn present<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn text(fields: &Map<String, Value>, name: &'static str) -> Result<Option<String>, ChargeError> {
    match present(fields, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(name, "a string")),
    }
}

fn amount(fields: &Map<String, Value>, name: &'static str) -> Result<Amount, ChargeError> {
    let text = text(fields, name)?.ok_or(missing(name))?;
    Amount::from_base_str(&text).map_err(|_| invalid(name, "a whole number of base units in digits"))
}

fn address(fields: &Map<String, Value>, name: &'static str) -> Result<Option<Address>, ChargeError> {
    text(fields, name)?
        .map(|text| parse_address(&text).ok_or(invalid(name, "an address: 0x and 40 hexadecimal digits")))
        .transpose()
}

fn chain_id(details: &Map<String, Value>) -> Result<Option<u64>, ChargeError> {
    present(details, "chainId")
        .map(|value| value.as_u64().ok_or(invalid("methodDetails.chainId", "a whole number")))
        .transpose()
}

fn fee(details: &Map<String, Value>) -> Result<Fee, ChargeError> {
    match present(details, "feePayer") {
        None | Some(Value::Bool(false)) => Ok(Fee::Payer),
        Some(Value::Bool(true)) => Ok(Fee::Seller),
        Some(_) => Err(invalid("methodDetails.feePayer", "true or false")),
    }
}

fn splits(details: &Map<String, Value>) -> Result<Vec<Split>, ChargeError> {
    let Some(value) = present(details, "splits") else { return Ok(Vec::new()) };
    let list = value.as_array().ok_or(invalid("methodDetails.splits", "a list"))?;
    if list.is_empty() || list.len() > ChargeRequest::MAX_SPLITS {
        return Err(ChargeError::SplitCount { max: ChargeRequest::MAX_SPLITS, given: list.len() });
    }
    list.iter().map(split).collect()
}

fn split(value: &Value) -> Result<Split, ChargeError> {
    let fields = value.as_object().ok_or(invalid("methodDetails.splits", "a list of objects"))?;
    let memo = text(fields, "memo")?
        .map(|text| parse_word(&text).ok_or(invalid("memo", "0x and 64 hexadecimal digits")))
        .transpose()?;
    Ok(Split {
        recipient: address(fields, "recipient")?.ok_or(missing("recipient"))?,
        amount: amount(fields, "amount")?,
        memo,
    })
}

fn modes(details: &Map<String, Value>) -> Result<Modes, ChargeError> {
    let expected = || invalid("methodDetails.supportedModes", "a list of pull and push");
    let Some(value) = present(details, "supportedModes") else { return Ok(Modes::Both) };
    let names: Vec<&str> =
        value.as_array().ok_or_else(expected)?.iter().map(|name| name.as_str().unwrap_or_default()).collect();
    // A mode that we do not know is one that we cannot use, not an error.
    match (names.contains(&"pull"), names.contains(&"push")) {
        (true, true) => Ok(Modes::Both),
        (true, false) => Ok(Modes::Only(Mode::Pull)),
        (false, true) => Ok(Modes::Only(Mode::Push)),
        (false, false) => Err(expected()),
    }
}

#[cfg(test)]
mod tests;
