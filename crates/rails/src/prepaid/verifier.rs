//! [`PrepaidVerifier`]: the seller's half.

use std::sync::Arc;

use async_trait::async_trait;
use farthing_money::{Asset, Money};
use farthing_protocol::ports::{
    ClaimKey, Funds, OfferError, Price, ReservationFate, Resolution, SettleError, Settled, SettlementPlan,
    Verified, Verifier, VerifyError, VerifyRequest,
};
use farthing_protocol::{Credential, EncodedJson, Intent, MethodId, Problem, ProblemKind, UnixMs};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::METHOD;
use super::book::{Charge, Charged, PrepaidBook, PrepaidError, Presented};
use super::wire::{MethodDetails, PrepaidPayload, PrepaidRequest, Signed};

/// Takes payment from balances of one asset with one issuer.
pub struct PrepaidVerifier {
    method: MethodId,
    intent: Intent,
    rail: String,
    asset: Asset,
    issuer: String,
    book: Arc<dyn PrepaidBook>,
}

impl std::fmt::Debug for PrepaidVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrepaidVerifier").field("rail", &self.rail).finish_non_exhaustive()
    }
}

/// What `verify` leaves for `settle`, in the journal. Nothing of it authorises anything elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) charge: Charge,
    pub(super) external_id: Option<String>,
}

impl Plan {
    pub(super) fn read(plan: &SettlementPlan) -> Option<Self> {
        serde_json::from_value(plan.data.clone()).ok()
    }
}

impl PrepaidVerifier {
    /// A rail that takes balances of `asset` with `issuer`, which `book` keeps.
    #[must_use]
    pub fn new(asset: Asset, issuer: &str, book: Arc<dyn PrepaidBook>) -> Self {
        let method = MethodId::new(METHOD).expect("`prepaid` is a method identifier");
        let rail = format!("{METHOD}:{issuer}:{}", asset.code());
        Self { method, intent: Intent::charge(), rail, asset, issuer: issuer.to_owned(), book }
    }

    /// A balance is charged once a challenge, whoever signs for it.
    fn key_of(&self, challenge: &str) -> ClaimKey {
        ClaimKey(format!("{}:{challenge}", self.rail))
    }

    fn settled(plan: Plan, charged: Charged) -> Settled {
        let Charged { reference, at } = charged;
        Settled { reference, at, external_id: plan.external_id, extra: Map::new() }
    }
}

fn problem(kind: ProblemKind, code: &'static str, detail: &str) -> VerifyError {
    VerifyError::Rejected(Problem::new(kind, code, detail))
}

/// What a payer is told of a refusal. Its own code is in the sentence: which limits there are is the issuer's affair.
fn refusal(code: &str, why: &str) -> Problem {
    if code == "prepaid_bad_signature" {
        let detail = "The signature is not the token's, or was made for another challenge.";
        return Problem::new(ProblemKind::VerificationFailed, "prepaid_bad_signature", detail);
    }
    let kind = match code {
        "insufficient_funds" => ProblemKind::PaymentInsufficient,
        _ => ProblemKind::VerificationFailed,
    };
    Problem::new(kind, "prepaid_refused", format!("{why} ({code})"))
}

#[async_trait]
impl Verifier for PrepaidVerifier {
    fn method(&self) -> &MethodId {
        &self.method
    }

    fn intent(&self) -> &Intent {
        &self.intent
    }

    fn rail(&self) -> &str {
        &self.rail
    }

    fn asset(&self) -> &Asset {
        &self.asset
    }

    fn offer(&self, price: &Price) -> Result<EncodedJson, OfferError> {
        if price.money.asset() != &self.asset {
            let (takes, given) = (self.asset.code().to_owned(), price.money.asset().code().to_owned());
            return Err(OfferError::WrongAsset { takes, given });
        }
        if price.money.amount().is_zero() {
            let why = "a balance cannot be charged nothing: make the route free".to_owned();
            return Err(OfferError::BadTerms { code: "prepaid_zero", why });
        }
        let request = PrepaidRequest {
            amount: price.money.amount(),
            currency: self.asset.code().to_owned(),
            external_id: price.external_id.clone(),
            method_details: MethodDetails { issuer: self.issuer.clone() },
        };
        Ok(EncodedJson::encode(&request)?)
    }

    fn keys(&self, credential: &Credential<'_>) -> Result<Vec<ClaimKey>, Problem> {
        PrepaidPayload::parse(credential.payload.get())?;
        Ok(vec![self.key_of(&credential.challenge.id)])
    }

    async fn verify(&self, request: VerifyRequest<'_>) -> Result<Verified, VerifyError> {
        let challenge = &request.credential.challenge;
        let asked: PrepaidRequest = EncodedJson::from_wire(challenge.request.clone().into_owned(), "request")
            .and_then(|encoded| encoded.decode())
            .map_err(|_| {
                problem(ProblemKind::InvalidChallenge, "request_unreadable", "The request cannot be read.")
            })?;
        let payload = PrepaidPayload::parse(request.credential.payload.get())?;
        let unavailable = |error: PrepaidError| match error {
            PrepaidError::Refused { code, why } => VerifyError::Rejected(refusal(&code, &why)),
            PrepaidError::Unavailable { why } => VerifyError::Unavailable { detail: why },
        };
        let signed =
            Signed { realm: &challenge.realm, challenge: &challenge.id, request: &challenge.request };
        let paid = Money::new(asked.amount, self.asset.clone());
        let presented = Presented {
            token: &payload.token,
            message: &signed.message(),
            signature: &payload.signature,
            money: &paid,
            realm: &challenge.realm,
        };
        let account = self.book.authorise(&presented, request.now).await.map_err(unavailable)?;
        let charge = Charge {
            challenge: challenge.id.to_string(),
            token: payload.token.clone(),
            money: paid.clone(),
            realm: challenge.realm.to_string(),
            account,
        };
        let plan = Plan { charge, external_id: asked.external_id };
        Ok(Verified {
            keys: vec![self.key_of(&challenge.id)],
            payer: Some(format!("prepaid:{}", payload.token)),
            paid,
            funds: Funds::Authorised,
            settle_by: None,
            reservation: None,
            plan: SettlementPlan {
                rail: self.rail.clone(),
                data: serde_json::to_value(&plan).expect("names and amounts are always JSON"),
            },
        })
    }

    async fn settle(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Settled, SettleError> {
        // A plan that cannot be read may have been carried out: never call that a failure.
        let plan = Plan::read(plan).ok_or_else(|| SettleError::Unknown { detail: "damaged plan".into() })?;
        match self.book.charge(&plan.charge, now).await {
            Ok(charged) => Ok(Self::settled(plan, charged)),
            Err(PrepaidError::Refused { code, why }) => Err(refusal(&code, &why).into()),
            Err(PrepaidError::Unavailable { why }) => Err(SettleError::Unknown { detail: why }),
        }
    }

    async fn resolve(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Resolution, String> {
        let plan = Plan::read(plan).ok_or("damaged plan")?;
        // The charge has one name: made again, it answers what it answered, or happens now. Either is certain.
        match self.book.charge(&plan.charge, now).await {
            Ok(charged) => Ok(Resolution::Settled(Self::settled(plan, charged))),
            Err(PrepaidError::Refused { code, why }) => Ok(Resolution::Failed {
                why: format!("{why} ({code})"),
                reservation: ReservationFate::Released,
            }),
            Err(PrepaidError::Unavailable { why }) => Err(why),
        }
    }
}
