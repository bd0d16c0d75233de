//! [`ExampleVerifier`]: the seller's half. The order is what matters: `verify` only looks, `settle` acts, and acting twice
//! does no more than acting once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use farthing_money::{Amount, Asset, Money};
use farthing_protocol::ports::{
    ClaimKey, Funds, OfferError, Price, ReservationFate, Resolution, SettleError, Settled, SettlementPlan,
    Verified, Verifier, VerifyError, VerifyRequest,
};
use farthing_protocol::{Credential, EncodedJson, Intent, MethodId, Problem, ProblemKind, UnixMs};
use serde_json::{Map, json};

use super::METHOD;
use super::wire::{ExamplePayload, ExampleRequest};

/// What stands in for a chain or a processor: which vouchers there are, which were cashed, by which challenge, and which were
/// made to give a claim back.
#[derive(Debug, Default)]
pub struct VoucherBook {
    open: Mutex<BTreeMap<u64, Amount>>,
    cashed: Mutex<BTreeMap<u64, String>>,
    given_back: Mutex<BTreeMap<String, u64>>,
}

impl VoucherBook {
    /// A book with these vouchers.
    #[must_use]
    pub fn new(vouchers: impl IntoIterator<Item = (u64, Amount)>) -> Self {
        Self { open: Mutex::new(vouchers.into_iter().collect()), ..Self::default() }
    }

    fn worth(&self, voucher: u64) -> Option<Amount> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&voucher).copied()
    }

    /// Cashes a voucher for a challenge; says by which challenge it is cashed now.
    fn cash(&self, voucher: u64, challenge: &str) -> String {
        let mut cashed = self.cashed.lock().unwrap_or_else(PoisonError::into_inner);
        cashed.entry(voucher).or_insert_with(|| challenge.to_owned()).clone()
    }

    fn cashed_by(&self, voucher: u64) -> Option<String> {
        self.cashed.lock().unwrap_or_else(PoisonError::into_inner).get(&voucher).cloned()
    }

    /// Makes a new voucher for a claim, once; says which.
    pub(super) fn give_back(&self, claim: &str, worth: Amount) -> u64 {
        let mut given_back = self.given_back.lock().unwrap_or_else(PoisonError::into_inner);
        *given_back.entry(claim.to_owned()).or_insert_with(|| {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let voucher = open.last_key_value().map_or(1, |(last, _)| last.saturating_add(1));
            open.insert(voucher, worth);
            voucher
        })
    }

    pub(super) fn given_back(&self, claim: &str) -> Option<u64> {
        self.given_back.lock().unwrap_or_else(PoisonError::into_inner).get(claim).copied()
    }
}

/// Takes vouchers of one asset.
#[derive(Debug)]
pub struct ExampleVerifier {
    method: MethodId,
    intent: Intent,
    asset: Asset,
    book: Arc<VoucherBook>,
}

impl ExampleVerifier {
    /// A rail that takes the vouchers in `book`, worth base units of `asset`.
    #[must_use]
    pub fn new(asset: Asset, book: impl Into<Arc<VoucherBook>>) -> Self {
        let method = MethodId::new(METHOD).expect("`example` is a method identifier");
        Self { method, intent: Intent::charge(), asset, book: book.into() }
    }

    fn key(voucher: u64) -> ClaimKey {
        // What the money is, never the bytes that carried it: 7, "7" and 07 would be one voucher.
        ClaimKey(format!("example:voucher:{voucher}"))
    }

    fn settled(challenge: &str, external_id: Option<&str>, at: UnixMs) -> Settled {
        Settled {
            reference: challenge.to_owned(),
            at,
            external_id: external_id.map(str::to_owned),
            extra: Map::new(),
        }
    }
}

/// What `verify` leaves for `settle`, in the journal.
struct Plan<'a> {
    voucher: u64,
    challenge: &'a str,
    external_id: Option<&'a str>,
}

impl<'a> Plan<'a> {
    fn read(plan: &'a SettlementPlan) -> Option<Self> {
        Some(Self {
            voucher: plan.data.get("voucher")?.as_u64()?,
            challenge: plan.data.get("challenge")?.as_str()?,
            external_id: plan.data.get("externalId").and_then(|id| id.as_str()),
        })
    }
}

fn problem(kind: ProblemKind, code: &'static str, detail: &str) -> VerifyError {
    VerifyError::Rejected(Problem::new(kind, code, detail))
}

#[async_trait]
impl Verifier for ExampleVerifier {
    fn method(&self) -> &MethodId {
        &self.method
    }

    fn intent(&self) -> &Intent {
        &self.intent
    }

    fn rail(&self) -> &str {
        METHOD
    }

    fn asset(&self) -> &Asset {
        &self.asset
    }

    fn offer(&self, price: &Price) -> Result<EncodedJson, OfferError> {
        if price.money.asset() != &self.asset {
            let (takes, given) = (self.asset.code().to_owned(), price.money.asset().code().to_owned());
            return Err(OfferError::WrongAsset { takes, given });
        }
        let request = ExampleRequest {
            amount: price.money.amount(),
            currency: self.asset.code().to_owned(),
            external_id: price.external_id.clone(),
        };
        Ok(EncodedJson::encode(&request)?)
    }

    fn keys(&self, credential: &Credential<'_>) -> Result<Vec<ClaimKey>, Problem> {
        Ok(vec![Self::key(ExamplePayload::parse(credential.payload.get())?.voucher)])
    }

    async fn verify(&self, request: VerifyRequest<'_>) -> Result<Verified, VerifyError> {
        let challenge = &request.credential.challenge;
        let asked: ExampleRequest = EncodedJson::from_wire(challenge.request.clone().into_owned(), "request")
            .and_then(|encoded| encoded.decode())
            .map_err(|_| {
                problem(ProblemKind::InvalidChallenge, "request_unreadable", "The request cannot be read.")
            })?;
        let voucher = ExamplePayload::parse(request.credential.payload.get())?.voucher;
        let worth = self.book.worth(voucher).ok_or_else(|| {
            problem(ProblemKind::VerificationFailed, "voucher_unknown", "There is no such voucher.")
        })?;
        if worth < asked.amount {
            let detail = "The voucher is worth less than the price.";
            return Err(problem(ProblemKind::PaymentInsufficient, "voucher_too_small", detail));
        }
        if self.book.cashed_by(voucher).is_some_and(|by| by != challenge.id) {
            return Err(VerifyError::Replayed);
        }
        let data = json!({"voucher": voucher, "challenge": challenge.id, "externalId": asked.external_id});
        Ok(Verified {
            keys: vec![Self::key(voucher)],
            // Whoever a refund would go to; none where a method cannot tell.
            payer: Some(format!("voucher:{voucher}")),
            paid: Money::new(asked.amount, self.asset.clone()),
            // The seller cashes it, so nothing has moved. A method whose payers send the money themselves says `Moved`.
            funds: Funds::Authorised,
            // A voucher does not run out. A signature that does says until when it can be used, less what using it takes.
            settle_by: None,
            reservation: None,
            plan: SettlementPlan { rail: METHOD.to_owned(), data },
        })
    }

    async fn settle(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Settled, SettleError> {
        // A plan that cannot be read may have been carried out: never call that a failure.
        let plan = Plan::read(plan).ok_or_else(|| SettleError::Unknown { detail: "damaged plan".into() })?;
        if self.book.cash(plan.voucher, plan.challenge) == plan.challenge {
            return Ok(Self::settled(plan.challenge, plan.external_id, now));
        }
        let detail = "The voucher was cashed for another call.";
        Err(Problem::new(ProblemKind::VerificationFailed, "voucher_cashed", detail).into())
    }

    async fn resolve(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Resolution, String> {
        let plan = Plan::read(plan).ok_or("damaged plan")?;
        Ok(match self.book.cashed_by(plan.voucher) {
            Some(by) if by == plan.challenge => {
                Resolution::Settled(Self::settled(plan.challenge, plan.external_id, now))
            }
            // A book answers at once, so what is not in it did not happen. A network would have to say `Pending`.
            _ => Resolution::Failed {
                why: "the voucher was not cashed for this call".into(),
                reservation: ReservationFate::Released,
            },
        })
    }
}
