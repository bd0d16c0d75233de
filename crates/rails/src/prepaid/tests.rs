//! One call from offer to receipt, and every way in which it must not end well.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use farthing_money::{Amount, Asset, AssetKind, Money};
use farthing_protocol::ports::{
    ClaimId, Funds, PayContext, Payer, PaymentFate, Price, RefundError, RefundRequest, Refunder, Resolution,
    SentPayment, SettleError, SettlementPlan, Timing, Verified, Verifier, VerifyError, VerifyRequest,
};
use farthing_protocol::{Challenge, CredentialBuf, CredentialHeader, Intent, MethodId, PaymentProof, UnixMs};

use super::{
    Charge, Charged, METHOD, PrepaidAccount, PrepaidBook, PrepaidError, PrepaidKey, PrepaidPayer,
    PrepaidRefunder, PrepaidVerifier, Presented,
};

const NOW: UnixMs = UnixMs::from_ms(1_900_000_000_000);
const REALM: &str = "api.example.com";

/// Balances in memory: what the billing layer keeps in its ledger.
#[derive(Default)]
struct Book {
    balances: Mutex<BTreeMap<String, u128>>,
    charged: Mutex<BTreeMap<String, bool>>,
    down: Mutex<bool>,
}

impl Book {
    fn with(balance: u128) -> Arc<Self> {
        let book = Self::default();
        book.balances.lock().unwrap().insert("tok_1".into(), balance);
        Arc::new(book)
    }

    fn left(&self) -> u128 {
        self.balances.lock().unwrap()["tok_1"]
    }

    fn up(&self) -> Result<(), PrepaidError> {
        match *self.down.lock().unwrap() {
            true => Err(PrepaidError::Unavailable { why: "down".into() }),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl PrepaidBook for Book {
    async fn authorise(&self, presented: &Presented<'_>, _: UnixMs) -> Result<String, PrepaidError> {
        self.up()?;
        let refused = |code: &str| PrepaidError::Refused { code: code.into(), why: "no".into() };
        let balances = self.balances.lock().unwrap();
        let balance = balances.get(presented.token).ok_or_else(|| refused("token_unknown"))?;
        if !PrepaidKey::new(presented.token.as_bytes()).verifies(presented.message, presented.signature) {
            return Err(refused("prepaid_bad_signature"));
        }
        match *balance >= presented.money.amount().base() {
            true => Ok("bud_1".into()),
            false => Err(refused("insufficient_funds")),
        }
    }

    async fn charge(&self, charge: &Charge, _: UnixMs) -> Result<Charged, PrepaidError> {
        self.up()?;
        if !self.charged.lock().unwrap().contains_key(&charge.challenge) {
            if self.left() < charge.money.amount().base() {
                return Err(PrepaidError::Refused {
                    code: "insufficient_funds".into(),
                    why: "too little".into(),
                });
            }
            *self.balances.lock().unwrap().get_mut(&charge.token).unwrap() -= charge.money.amount().base();
            self.charged.lock().unwrap().insert(charge.challenge.clone(), true);
        }
        Ok(Charged { reference: format!("hold_{}", charge.challenge), at: NOW })
    }

    async fn refund(&self, charge: &Charge, _: UnixMs) -> Result<Charged, PrepaidError> {
        self.up()?;
        if self.charged.lock().unwrap().insert(charge.challenge.clone(), false) == Some(true) {
            *self.balances.lock().unwrap().get_mut(&charge.token).unwrap() += charge.money.amount().base();
        }
        Ok(Charged { reference: format!("refund_{}", charge.challenge), at: NOW })
    }
}

fn asset() -> Asset {
    Asset::new("TOKENS", 0, AssetKind::Custom).unwrap()
}

fn money(base: u128) -> Money {
    Money::new(Amount::from_base(base), asset())
}

fn seller(book: &Arc<Book>) -> PrepaidVerifier {
    PrepaidVerifier::new(asset(), "example", Arc::clone(book) as _)
}

fn buyer(key: &str) -> PrepaidPayer {
    PrepaidPayer::new(PrepaidAccount {
        issuer: "example".into(),
        asset: asset(),
        token: "tok_1".into(),
        key: PrepaidKey::new(key.as_bytes()),
    })
}

fn challenge(seller: &PrepaidVerifier, id: &str, base: u128) -> Challenge {
    let price = Price { money: money(base), description: None, external_id: Some("o-1".into()) };
    Challenge {
        id: id.into(),
        realm: REALM.into(),
        method: MethodId::new(METHOD).unwrap(),
        intent: Intent::charge(),
        request: seller.offer(&price).unwrap(),
        description: None,
        expires: Some(NOW.plus_ms(1000).to_string()),
        digest: None,
        opaque: None,
        header: CredentialHeader::Authorization,
    }
}

async fn verify(
    seller: &PrepaidVerifier,
    challenge: &Challenge,
    proof: &PaymentProof,
) -> Result<Verified, VerifyError> {
    let buf = CredentialBuf::decode(&challenge.answer(proof).unwrap()).unwrap();
    let credential = buf.view().unwrap();
    let request = VerifyRequest { credential: &credential, expires: NOW, now: NOW, timing: Timing::InTime };
    let verified = seller.verify(request).await?;
    assert_eq!(seller.keys(&credential).unwrap(), verified.keys);
    Ok(verified)
}

fn context(cap: u128) -> PayContext {
    PayContext { cap: money(cap), now: NOW, witness: None }
}

fn code(error: &VerifyError) -> &str {
    match error {
        VerifyError::Rejected(problem) => problem.code,
        VerifyError::Unavailable { .. } => "unavailable",
        _ => "other",
    }
}

#[tokio::test]
async fn a_balance_pays_one_call_once() {
    let book = Book::with(12);
    let (seller, buyer) = (seller(&book), buyer("tok_1"));
    let first = challenge(&seller, "first", 5);
    let proof = buyer.pay(&first, context(5)).await.unwrap();
    let verified = verify(&seller, &first, &proof).await.unwrap();
    assert_eq!((book.left(), verified.funds, verified.paid.clone()), (12, Funds::Authorised, money(5)));
    let settled = seller.settle(&verified.plan, NOW).await.unwrap();
    assert_eq!((settled.reference.as_str(), settled.external_id.as_deref()), ("hold_first", Some("o-1")));
    assert_eq!(seller.settle(&verified.plan, NOW).await.unwrap(), settled, "again changes nothing");
    assert_eq!(seller.resolve(&verified.plan, NOW).await.unwrap(), Resolution::Settled(settled.clone()));
    assert_eq!(book.left(), 7);

    let till = PrepaidRefunder::new(&seller, REALM, Arc::clone(&book) as _);
    let (claim, payer) = (ClaimId("first".into()), verified.payer.unwrap());
    let request =
        RefundRequest { claim: &claim, payer: &payer, paid: &verified.paid, settled: &settled, now: NOW };
    let plan = till.plan(request).await.unwrap();
    let refund = till.send(&plan, NOW).await.unwrap();
    assert_eq!((till.send(&plan, NOW).await.unwrap(), book.left()), (refund.clone(), 12), "given back once");
    assert_eq!(till.resolve(&plan, NOW).await.unwrap(), Resolution::Settled(refund));
    for other in ["did:pkh:eip155:1:0xab", "prepaid"] {
        let refused = till.plan(RefundRequest { payer: other, ..request }).await;
        assert!(
            matches!(refused, Err(RefundError::Impossible { code: "refund_not_prepaid", .. })),
            "{other}"
        );
    }
}

#[tokio::test]
async fn a_signature_is_good_for_its_own_challenge_only() {
    let book = Book::with(100);
    let seller = seller(&book);
    let first = challenge(&seller, "first", 5);
    let proof = buyer("tok_1").pay(&first, context(5)).await.unwrap();
    let dearer = Challenge { request: challenge(&seller, "first", 50).request, ..first.clone() };
    let elsewhere = Challenge { realm: "evil.example".into(), ..first.clone() };
    for other in [&challenge(&seller, "second", 5), &dearer, &elsewhere] {
        assert_eq!(code(&verify(&seller, other, &proof).await.unwrap_err()), "prepaid_bad_signature");
    }
    let stranger = buyer("another secret").pay(&first, context(5)).await.unwrap();
    assert_eq!(code(&verify(&seller, &first, &stranger).await.unwrap_err()), "prepaid_bad_signature");
    let shown = format!("{:?} {:?}", buyer("tok_secret"), PrepaidKey::new(b"tok_secret"));
    assert!(!shown.contains("tok_secret"), "{shown}");
}

#[tokio::test]
async fn each_broken_rule_has_its_code() {
    let book = Book::with(4);
    let seller = seller(&book);
    let asked = challenge(&seller, "c", 5);
    let raw = |json: &str| PaymentProof { payload: serde_json::from_str(json).unwrap(), source: None };
    let good = buyer("tok_1").pay(&asked, context(5)).await.unwrap();
    for (expected, proof) in [
        ("payload_unreadable", raw("{}")),
        ("payload_unreadable", raw(r#"{"type":"bearer","token":"tok_1","signature":"AA"}"#)),
        ("payload_unreadable", raw(r#"{"type":"hmac","token":"","signature":"AA"}"#)),
        ("prepaid_refused", raw(r#"{"type":"hmac","token":"tok_2","signature":"AA"}"#)),
        ("prepaid_bad_signature", raw(r#"{"type":"hmac","token":"tok_1","signature":"??"}"#)),
        // There are 4, and it costs 5.
        ("prepaid_refused", raw(good.payload.get())),
    ] {
        let error = verify(&seller, &asked, &proof).await.unwrap_err();
        assert_eq!(code(&error), expected, "{error}");
    }
    *book.down.lock().unwrap() = true;
    assert_eq!(code(&verify(&seller, &asked, &good).await.unwrap_err()), "unavailable");

    let quote = |challenge: &Challenge| buyer("tok_1").quote(challenge).unwrap_err().code;
    assert_eq!(
        quote(&Challenge { method: MethodId::new("tempo").unwrap(), ..asked.clone() }),
        "not_prepaid_charge"
    );
    let other = PrepaidVerifier::new(asset(), "other", Arc::clone(&book) as _);
    assert_eq!(quote(&challenge(&other, "c", 5)), "prepaid_other_issuer");
    assert_eq!(buyer("tok_1").pay(&asked, context(4)).await.unwrap_err().code(), "over_cap");
    let nothing = Price { money: money(0), description: None, external_id: None };
    assert!(seller.offer(&nothing).is_err(), "a balance cannot be charged nothing");
}

#[tokio::test]
async fn a_lost_answer_is_unknown_until_the_books_tell() {
    let book = Book::with(12);
    let (seller, buyer) = (seller(&book), buyer("tok_1"));
    let first = challenge(&seller, "first", 5);
    let proof = buyer.pay(&first, context(5)).await.unwrap();
    let verified = verify(&seller, &first, &proof).await.unwrap();
    *book.down.lock().unwrap() = true;
    assert!(matches!(seller.settle(&verified.plan, NOW).await, Err(SettleError::Unknown { .. })));
    assert!(seller.resolve(&verified.plan, NOW).await.is_err());
    *book.down.lock().unwrap() = false;
    assert!(matches!(seller.resolve(&verified.plan, NOW).await, Ok(Resolution::Settled(_))));
    assert_eq!(book.left(), 7);
    // Once the balance is gone it is certain that it will not happen.
    book.balances.lock().unwrap().insert("tok_1".into(), 0);
    let second = challenge(&seller, "second", 5);
    let plan = serde_json::json!({"charge": {"challenge": second.id, "token": "tok_1", "money": money(5), "realm": REALM, "account": "bud_1"}});
    let plan = SettlementPlan { rail: seller.rail().into(), data: plan };
    assert!(matches!(seller.resolve(&plan, NOW).await, Ok(Resolution::Failed { .. })));
    let damaged = SettlementPlan { rail: METHOD.into(), data: serde_json::Value::Null };
    assert!(matches!(seller.settle(&damaged, NOW).await, Err(SettleError::Unknown { .. })));

    let buf = CredentialBuf::decode(&first.answer(&proof).unwrap()).unwrap();
    let sent = |credential| SentPayment { credential, reference: None, network: "", payer: "", mode: "pull" };
    assert_eq!(buyer.outcome(&sent(Some(buf.view().unwrap())), NOW).await, Ok(PaymentFate::Pending));
    assert!(buyer.outcome(&sent(None), NOW).await.is_err());
}
