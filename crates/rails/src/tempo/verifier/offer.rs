//! What a seller asks for a price.

use farthing_protocol::ports::{OfferError, Price};

use super::TempoCharge;
use crate::tempo::request::{ChargeRequest, Fee, Mode, Modes};

impl TempoCharge {
    pub(super) fn request(&self, price: &Price) -> Result<ChargeRequest, OfferError> {
        if price.money.asset() != &self.asset {
            return Err(OfferError::WrongAsset {
                takes: self.asset.code().to_owned(),
                given: price.money.asset().code().to_owned(),
            });
        }
        let zero = price.money.amount().is_zero();
        let sponsored = self.terms.sponsorship.is_some() && !zero;
        let request = ChargeRequest {
            amount: price.money.amount(),
            currency: self.terms.token,
            recipient: Some(self.terms.recipient),
            description: price.description.clone(),
            external_id: price.external_id.clone(),
            chain_id: Some(self.terms.chain_id),
            fee: if sponsored { Fee::Seller } else { Fee::Payer },
            splits: if zero { Vec::new() } else { self.terms.splits.clone() },
            modes: match (zero, sponsored) {
                (true, _) => Modes::Both,
                (false, true) => Modes::Only(Mode::Pull),
                (false, false) => self.terms.modes,
            },
        };
        request
            .check()
            .map_err(|error| OfferError::BadTerms { code: error.code(), why: error.to_string() })?;
        Ok(request)
    }
}
