//! One call from offer to receipt, and every way in which it must not end well. A method of your own wants the same tests.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use farthing_money::{Amount, Asset, AssetKind, Money};
use farthing_protocol::ports::{
    ClaimId, Funds, PayContext, Payer, PaymentFate, Price, RefundError, RefundRequest, Refunder, Resolution,
    SentPayment, SettleError, SettlementPlan, Timing, Verified, Verifier, VerifyError, VerifyRequest,
};
use farthing_protocol::{Challenge, CredentialBuf, CredentialHeader, Intent, MethodId, PaymentProof, UnixMs};

use super::{ExamplePayer, ExampleRefunder, ExampleVerifier, METHOD, VoucherBook};

const NOW: UnixMs = UnixMs::from_ms(1_900_000_000_000);

fn asset() -> Asset {
    Asset::new("CREDITS", 0, AssetKind::Custom).unwrap()
}

fn money(base: u128) -> Money {
    Money::new(Amount::from_base(base), asset())
}

fn seller() -> ExampleVerifier {
    ExampleVerifier::new(asset(), VoucherBook::new([(7, Amount::from_base(5)), (8, Amount::from_base(5))]))
}

fn challenge(seller: &ExampleVerifier, id: &str, base: u128) -> Challenge {
    let price = Price { money: money(base), description: None, external_id: Some("o-1".into()) };
    Challenge {
        id: id.into(),
        realm: "api.example.com".into(),
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
    seller: &ExampleVerifier,
    challenge: &Challenge,
    proof: &PaymentProof,
) -> Result<Verified, VerifyError> {
    let buf = CredentialBuf::decode(&challenge.answer(proof).unwrap()).unwrap();
    let credential = buf.view().unwrap();
    let verified = seller
        .verify(VerifyRequest { credential: &credential, expires: NOW, now: NOW, timing: Timing::InTime })
        .await?;
    assert_eq!(seller.keys(&credential).unwrap(), verified.keys);
    Ok(verified)
}

fn voucher(json: &str) -> PaymentProof {
    PaymentProof { payload: serde_json::from_str(json).unwrap(), source: None }
}

#[tokio::test]
async fn a_voucher_pays_one_call_once() {
    let (seller, buyer) = (seller(), ExamplePayer::new(asset(), vec![7]));
    let first = challenge(&seller, "first", 5);
    let context = PayContext { cap: money(5), now: NOW, witness: None };
    let proof = buyer.pay(&first, context.clone()).await.unwrap();
    let verified = verify(&seller, &first, &proof).await.unwrap();
    let before = seller.resolve(&verified.plan, NOW).await.unwrap();
    assert!(matches!(before, Resolution::Failed { .. }), "verifying cashes nothing");
    let settled = seller.settle(&verified.plan, NOW).await.unwrap();
    assert_eq!((settled.reference.as_str(), settled.external_id.as_deref()), ("first", Some("o-1")));
    assert_eq!(seller.settle(&verified.plan, NOW).await.unwrap(), settled, "settling again changes nothing");
    assert_eq!(seller.resolve(&verified.plan, NOW).await.unwrap(), Resolution::Settled(settled));

    // C21: the same money for another challenge.
    let second = challenge(&seller, "second", 5);
    assert_eq!(verify(&seller, &second, &proof).await.unwrap_err(), VerifyError::Replayed);
    assert_eq!(buyer.pay(&second, context).await.unwrap_err().code(), "no_voucher");
}

#[tokio::test]
async fn two_claims_on_one_voucher_settle_once() {
    // The claim store prevents this; the rail still holds when it is asked.
    let seller = seller();
    let (a, b) = (challenge(&seller, "a", 5), challenge(&seller, "b", 5));
    let proof = voucher(r#"{"voucher":7}"#);
    let (a, b) = (verify(&seller, &a, &proof).await.unwrap(), verify(&seller, &b, &proof).await.unwrap());
    assert_eq!(a.keys, b.keys);
    assert!(seller.settle(&a.plan, NOW).await.is_ok());
    assert!(
        matches!(seller.settle(&b.plan, NOW).await, Err(SettleError::Rejected(problem)) if problem.code == "voucher_cashed")
    );
}

#[tokio::test]
async fn a_call_that_was_not_delivered_is_given_back_once() {
    let book = Arc::new(VoucherBook::new([(7, Amount::from_base(5))]));
    let (seller, till) =
        (ExampleVerifier::new(asset(), Arc::clone(&book)), ExampleRefunder::new(asset(), Arc::clone(&book)));
    assert_eq!(till.rail(), seller.rail());
    let first = challenge(&seller, "first", 5);
    let verified = verify(&seller, &first, &voucher(r#"{"voucher":7}"#)).await.unwrap();
    assert_eq!((verified.funds, verified.settle_by), (Funds::Authorised, None));
    let settled = seller.settle(&verified.plan, NOW).await.unwrap();
    let claim = ClaimId("first".into());
    let payer = verified.payer.unwrap();
    let request =
        RefundRequest { claim: &claim, payer: &payer, paid: &verified.paid, settled: &settled, now: NOW };

    let plan = till.plan(request).await.unwrap();
    let before = till.resolve(&plan, NOW).await.unwrap();
    assert!(matches!(before, Resolution::Failed { .. }), "planning gives nothing back");
    let refund = till.send(&plan, NOW).await.unwrap();
    let again = till.plan(request).await.unwrap();
    for plan in [&plan, &again] {
        assert_eq!(till.send(plan, NOW).await.unwrap(), refund, "one claim, one voucher");
        assert_eq!(till.resolve(plan, NOW).await.unwrap(), Resolution::Settled(refund.clone()));
    }
    // It is worth what was paid, and no other one was made.
    let second = challenge(&seller, "second", 5);
    verify(&seller, &second, &voucher(r#"{"voucher":8}"#)).await.unwrap();
    assert!(verify(&seller, &second, &voucher(r#"{"voucher":9}"#)).await.is_err());

    let nothing = money(0);
    let refused = till.plan(RefundRequest { paid: &nothing, ..request }).await;
    assert!(matches!(refused, Err(RefundError::Impossible { code: "refund_no_voucher", .. })));
    let damaged = SettlementPlan { rail: METHOD.into(), data: serde_json::Value::Null };
    assert!(matches!(till.send(&damaged, NOW).await, Err(SettleError::Unknown { .. })));
}

#[tokio::test]
async fn what_is_not_certain_is_pending() {
    let (seller, buyer) = (seller(), ExamplePayer::new(asset(), vec![7]));
    let first = challenge(&seller, "first", 5);
    let proof = buyer.pay(&first, PayContext { cap: money(5), now: NOW, witness: None }).await.unwrap();
    let buf = CredentialBuf::decode(&first.answer(&proof).unwrap()).unwrap();
    let sent = |credential| SentPayment {
        credential,
        reference: None,
        network: METHOD,
        payer: "bearer",
        mode: "voucher",
    };
    let kept = sent(Some(buf.view().unwrap()));
    assert_eq!(buyer.outcome(&kept, NOW).await, Ok(PaymentFate::Pending), "it may be cashed at any time");
    assert!(buyer.outcome(&sent(None), NOW).await.is_err(), "nothing was kept");
}

#[tokio::test]
async fn each_broken_rule_has_its_code() {
    let seller = seller();
    let (cheap, dear) = (challenge(&seller, "c", 5), challenge(&seller, "d", 6));
    let cases = [
        ("voucher_unknown", &cheap, r#"{"voucher":9}"#),
        ("voucher_too_small", &dear, r#"{"voucher":7}"#),
        ("payload_unreadable", &cheap, r#"{"voucher":-7}"#),
        ("payload_unreadable", &cheap, "{}"),
    ];
    for (expected, challenge, payload) in cases {
        let error = verify(&seller, challenge, &voucher(payload)).await.unwrap_err();
        assert!(
            matches!(&error, VerifyError::Rejected(problem) if problem.code == expected),
            "{expected}: {error}"
        );
    }
    let buyer = ExamplePayer::new(asset(), vec![7]);
    let over = buyer.pay(&dear, PayContext { cap: money(5), now: NOW, witness: None }).await.unwrap_err();
    assert_eq!(over.code(), "over_cap");
    let other = Challenge { method: MethodId::new("tempo").unwrap(), ..cheap };
    assert_eq!(buyer.quote(&other).unwrap_err().code, "not_example_charge");
}
