#![allow(clippy::unwrap_used, reason = "tests")]

use std::num::NonZeroU64;

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Signature, U256, b256, uint};
use farthing_money::Amount;
use farthing_protocol::UnixMs;
use proptest::prelude::*;
use tempo_primitives::TempoTransaction;
use tempo_primitives::transaction::{FEE_PAYER_SIGNATURE_MARKER, PrimitiveSignature, TempoSignature};

use super::{Against, SignedCharge, Sponsored, encode_envelope, sign};
use crate::tempo::memo::{self, Named};
use crate::tempo::request::{ChargeRequest, Fee, Split};
use crate::tempo::{Modes, PrivateKey, did, offline, sponsor, tokens, transfers};

/// Signed by viem 2.54 for account 1 of the well-known development mnemonic.
const PLAIN: &str = "76f9011582a5bf843b9aca0085098bca5a008301d4c0f87ef87c9420c000000000000000000000000000000000000080b864\
     95777d59000000000000000000000000742d35cc6634c0532925a3b844bc9e7595f8fe000000000000000000000000000000\
     0000000000000000000000000000000f4240ef1ed712011ece072f76bd8b82350e00000000000000000000eb18f2d4402269\
     c0a0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff8084713fb319809420c0000000000000\
     00000000000000000000000080c0b8419d726a5177066af6b5db806b1ab04ac595d3a333522110c12518f3b601e35d353096\
     81267766ebbb59dede0381d3022854095ca2c851d2a495214d363b22cad61c";
/// The same, for a fee payer.
const ENVELOPE: &str = "78f9011582a5bf843b9aca0085098bca5a008301d4c0f87ef87c9420c000000000000000000000000000000000000080b864\
     95777d59000000000000000000000000742d35cc6634c0532925a3b844bc9e7595f8fe000000000000000000000000000000\
     0000000000000000000000000000000f4240ef1ed712011ece072f76bd8b82350e00000000000000000000eb18f2d4402269\
     c0a0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff8084713fb31980809470997970c51812\
     dc3a010c7d01b50e0d17dc79c8c0b84140c92ed2ed38d594d1e7548b040f85e7d9245372bc02a75933c2c10b69876a654aea\
     82407debe102133eb7664a97b1a10d2719dadb329b6aa0a0faedaf222d7e1b";
/// The envelope, co-signed by viem for account 3, which pays in PathUSD.
const COSIGNED: &str = "76f9015982a5bf843b9aca0085098bca5a008301d4c0f87ef87c9420c000000000000000000000000000000000000080b864\
     95777d59000000000000000000000000742d35cc6634c0532925a3b844bc9e7595f8fe000000000000000000000000000000\
     0000000000000000000000000000000f4240ef1ed712011ece072f76bd8b82350e00000000000000000000eb18f2d4402269\
     c0a0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff8084713fb319809420c0000000000000\
     000000000000000000000000f84301a0c074c30f906251d94b090318cddeb6c495b66acb18b1be52a2092634f842691ea05a\
     27f6f79489112924b4f5854342d1fbdacf3c7271db6b8b9ef16e330b8516cec0b84140c92ed2ed38d594d1e7548b040f85e7\
     d9245372bc02a75933c2c10b69876a654aea82407debe102133eb7664a97b1a10d2719dadb329b6aa0a0faedaf222d7e1b";
const PLAIN_HASH: B256 = b256!("6a9c916bade38985a4bcd9909d19f6162e712ee3e647394d2808a09a4ff24c6e");
const COSIGNED_HASH: B256 = b256!("83bc905ca6bdfdf7b336fb997f5990adc0983e6c1b3da6091583f61feb4a8eb3");

const NAMED: Named<'static> = Named { realm: "api.example.com", challenge_id: "challenge-123" };
const CHAIN: u64 = 42431;
/// `validBefore` of the vectors.
const END: u64 = 1_900_000_025;

fn payer() -> PrivateKey {
    PrivateKey::from_hex("0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d").unwrap()
}

fn sponsor_key() -> PrivateKey {
    PrivateKey::from_hex("0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6").unwrap()
}

fn recipient() -> Address {
    did::parse_address("0x742d35Cc6634c0532925a3b844bC9e7595F8fE00").unwrap()
}

fn charge() -> ChargeRequest {
    ChargeRequest {
        amount: Amount::from_base(1_000_000),
        currency: tokens::PATH_USD,
        recipient: Some(recipient()),
        description: None,
        external_id: None,
        chain_id: Some(CHAIN),
        fee: Fee::Payer,
        splits: Vec::new(),
        modes: Modes::Both,
    }
}

fn sponsored() -> ChargeRequest {
    ChargeRequest { fee: Fee::Seller, ..charge() }
}

fn against(charge: &ChargeRequest) -> Against<'_> {
    Against {
        charge,
        named: NAMED,
        chain_id: CHAIN,
        expires: UnixMs::from_ms(END * 1000),
        now: UnixMs::from_ms((END - 25) * 1000),
    }
}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

/// The transaction of the vectors.
fn tx() -> TempoTransaction {
    TempoTransaction {
        chain_id: CHAIN,
        fee_token: Some(tokens::PATH_USD),
        max_priority_fee_per_gas: 1_000_000_000,
        max_fee_per_gas: 41_000_000_000,
        gas_limit: 120_000,
        calls: transfers::calls(&charge(), memo::encode(NAMED, None)),
        nonce_key: U256::MAX,
        valid_before: NonZeroU64::new(END),
        ..TempoTransaction::default()
    }
}

fn code_of(tx: TempoTransaction, against: Against<'_>) -> &'static str {
    let signed = SignedCharge::decode(&sign(&payer(), tx).encoded_2718()).unwrap();
    signed.check(against).map_or_else(|error| error.code(), |()| "ok")
}

#[test]
fn what_viem_signs_is_what_we_sign() {
    assert_eq!(hex::encode(sign(&payer(), tx()).encoded_2718()), PLAIN);
    let signed = SignedCharge::decode(&bytes(PLAIN)).unwrap();
    assert_eq!((signed.sender(), signed.hash()), (payer().address(), Some(PLAIN_HASH)));
    assert_eq!(hex::encode(signed.to_bytes()), PLAIN);
    assert_eq!(signed.check(against(&charge())), Ok(()));
}

#[test]
fn envelopes_agree_with_viem_before_and_after_cosigning() {
    let unsigned = TempoTransaction { fee_token: None, ..tx() };
    assert_eq!(hex::encode(offline::envelope(unsigned, &payer())), ENVELOPE);
    let signed = SignedCharge::decode(&bytes(ENVELOPE)).unwrap();
    assert_eq!((signed.sponsored(), signed.hash()), (Sponsored::Asked, None));
    assert_eq!(signed.check(against(&sponsored())), Ok(()));
    let complete = sponsor::cosign(&signed, &sponsor_key(), tokens::PATH_USD);
    assert_eq!(hex::encode(complete.encoded_2718()), COSIGNED);
    assert_eq!(*complete.hash(), COSIGNED_HASH);
    assert_eq!(complete.expiring_nonce_hash(signed.sender()), signed.identity(), "the same payment");
}

#[test]
fn a_marked_transaction_is_the_same_payment_as_its_envelope() {
    let marked =
        TempoTransaction { fee_token: None, fee_payer_signature: Some(FEE_PAYER_SIGNATURE_MARKER), ..tx() };
    let aa = sign(&payer(), marked);
    let mut service = Vec::new();
    aa.encode_for_fee_payer_service(&mut service);
    let from_marked = SignedCharge::decode(&service).unwrap();
    let from_envelope = SignedCharge::decode(&encode_envelope(&aa, payer().address())).unwrap();
    assert_eq!(from_marked.sponsored(), Sponsored::Asked);
    assert_eq!(from_marked.identity(), from_envelope.identity());
    assert_eq!(from_marked.sender(), from_envelope.sender());
}

#[test]
fn the_envelope_may_not_name_another_sender() {
    let mut changed = bytes(ENVELOPE);
    let at = changed.windows(20).position(|w| w == payer().address().as_slice()).unwrap();
    changed[at] ^= 1;
    assert_eq!(SignedCharge::decode(&changed).unwrap_err().code(), "signature_invalid");
}

#[test]
fn a_high_s_signature_is_refused() {
    // The chain refuses it too; and it would be a second hash for one payment (C21).
    const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
    let tx = tx();
    let low = payer().sign(tx.signature_hash());
    let high = Signature::new(low.r(), ORDER - low.s(), !low.v());
    let signed = tx.into_signed(TempoSignature::Primitive(PrimitiveSignature::Secp256k1(high)));
    assert_eq!(SignedCharge::decode(&signed.encoded_2718()).unwrap_err().code(), "signature_high_s");
}

#[test]
fn every_spelling_of_the_recovery_id_is_one_payment() {
    let mut spelled = bytes(PLAIN);
    let last = spelled.len() - 1;
    spelled[last] -= 27;
    let (a, b) = (SignedCharge::decode(&spelled).unwrap(), SignedCharge::decode(&bytes(PLAIN)).unwrap());
    assert_eq!((a.identity(), a.hash(), a.to_bytes()), (b.identity(), b.hash(), b.to_bytes()));
}

#[test]
fn each_broken_rule_has_its_code() {
    let base = charge();
    let to = |charge: &ChargeRequest, named| transfers::calls(charge, memo::encode(named, None));
    let other = Named { challenge_id: "challenge-124", ..NAMED };
    let elsewhere = Named { realm: "other.example.com", ..NAMED };
    let stranger = ChargeRequest { recipient: Some(Address::repeat_byte(9)), ..charge() };
    let less = ChargeRequest { amount: Amount::from_base(999_999), ..charge() };
    let more = ChargeRequest { amount: Amount::from_base(1_000_001), ..charge() };
    let token = ChargeRequest { currency: tokens::ALPHA_USD, ..charge() };
    let twice = [to(&base, NAMED), to(&base, NAMED)].concat();
    let mut trailing = to(&base, NAMED);
    trailing[0].input = [trailing[0].input.as_ref(), &[0]].concat().into();
    let mut padded = to(&base, NAMED);
    let mut dirty = padded[0].input.to_vec();
    dirty[4] = 1;
    padded[0].input = dirty.into();
    let mut value = to(&base, NAMED);
    value[0].value = U256::ONE;
    let mut approve = to(&base, NAMED);
    approve[0].input = [&[0x09, 0x5e, 0xa7, 0xb3], &approve[0].input[4..68]].concat().into();
    let end = |at| NonZeroU64::new(at);
    let cases = [
        ("ok", tx()),
        ("ok", TempoTransaction { valid_before: end(END + 1), ..tx() }),
        (
            "ok",
            TempoTransaction { calls: transfers::calls(&base, memo::encode(NAMED, Some("agent"))), ..tx() },
        ),
        ("ok", TempoTransaction { valid_after: end(END - 25), ..tx() }),
        ("wrong_chain", TempoTransaction { chain_id: 4217, ..tx() }),
        ("transfer_missing", TempoTransaction { calls: to(&stranger, NAMED), ..tx() }),
        ("transfer_missing", TempoTransaction { calls: to(&less, NAMED), ..tx() }),
        ("transfer_missing", TempoTransaction { calls: to(&more, NAMED), ..tx() }),
        ("call_refused", TempoTransaction { calls: to(&token, NAMED), ..tx() }),
        ("call_refused", TempoTransaction { calls: trailing, ..tx() }),
        ("call_refused", TempoTransaction { calls: padded, ..tx() }),
        ("call_refused", TempoTransaction { calls: value, ..tx() }),
        ("call_refused", TempoTransaction { calls: approve, ..tx() }),
        ("extra_calls", TempoTransaction { calls: twice, ..tx() }),
        ("memo_of_another_challenge", TempoTransaction { calls: to(&base, other), ..tx() }),
        ("memo_of_another_challenge", TempoTransaction { calls: to(&base, elsewhere), ..tx() }),
        ("transfer_missing", TempoTransaction { calls: transfers::calls(&base, B256::ZERO), ..tx() }),
        ("no_valid_before", TempoTransaction { valid_before: None, ..tx() }),
        ("valid_too_long", TempoTransaction { valid_before: end(END + 2), ..tx() }),
        ("transaction_expired", TempoTransaction { valid_before: end(END - 25), ..tx() }),
        ("not_yet_valid", TempoTransaction { valid_after: end(END - 24), ..tx() }),
    ];
    for (i, (expected, tx)) in cases.into_iter().enumerate() {
        assert_eq!(code_of(tx, against(&base)), expected, "TC3, TC8: case {i}");
    }
}

#[test]
fn the_fee_is_paid_by_whom_the_challenge_says() {
    let (own, theirs) = (charge(), sponsored());
    let envelope = SignedCharge::decode(&bytes(ENVELOPE)).unwrap();
    let plain = SignedCharge::decode(&bytes(PLAIN)).unwrap();
    assert_eq!(envelope.check(against(&own)).unwrap_err().code(), "sponsor_not_offered");
    assert_eq!(plain.check(against(&theirs)).unwrap_err().code(), "sponsor_not_asked", "TC7");
    assert_eq!(
        SignedCharge::decode(&bytes(COSIGNED)).unwrap_err().code(),
        "sponsor_not_offered",
        "somebody else's signature as fee payer"
    );
}

#[test]
fn splits_match_in_any_order() {
    let split = |byte, amount, memo| Split {
        recipient: Address::repeat_byte(byte),
        amount: Amount::from_base(amount),
        memo,
    };
    let charge = ChargeRequest {
        splits: vec![split(1, 10, None), split(2, 20, Some(B256::repeat_byte(5))), split(1, 10, None)],
        ..charge()
    };
    let calls = transfers::calls(&charge, memo::encode(NAMED, None));
    assert_eq!(code_of(TempoTransaction { calls: calls.clone(), ..tx() }, against(&charge)), "ok");
    let reversed = calls.iter().rev().cloned().collect();
    assert_eq!(code_of(TempoTransaction { calls: reversed, ..tx() }, against(&charge)), "ok", "TC5");
    for missing in 0..calls.len() {
        let mut fewer = calls.clone();
        fewer.remove(missing);
        let code = code_of(TempoTransaction { calls: fewer, ..tx() }, against(&charge));
        assert_eq!(code, "transfer_missing", "without call {missing}");
    }
}

#[test]
fn bytes_that_are_not_a_transaction_are_named() {
    let plain = bytes(PLAIN);
    let cases: [(&str, Vec<u8>); 7] = [
        ("empty", Vec::new()),
        ("another type", [&[0x02], &plain[1..]].concat()),
        ("no envelope", [&[0x78], &plain[1..]].concat()),
        ("cut", plain[..plain.len() - 1].to_vec()),
        ("followed", [plain.as_slice(), &[0]].concat()),
        ("too long", vec![0x76; SignedCharge::MAX_BYTES + 1]),
        ("not a list", vec![0x76, 0x80]),
    ];
    for (what, bytes) in cases {
        assert_eq!(SignedCharge::decode(&bytes).unwrap_err().code(), "transaction_unreadable", "{what}");
    }
}

proptest! {
    /// Whatever bit of a valid transaction is changed, it is refused, or it is not this payer's (TC3).
    #[test]
    fn a_changed_transaction_is_refused(at in 0_usize..PLAIN.len() / 2, bit in 0_u8..8) {
        let mut changed = bytes(PLAIN);
        changed[at] ^= 1 << bit;
        if let Ok(signed) = SignedCharge::decode(&changed)
            && signed.sender() == payer().address()
        {
            // Only the recovery id has other spellings, and they mean the same.
            prop_assert_eq!(signed.hash(), Some(PLAIN_HASH), "byte {}", at);
        }
    }

    #[test]
    fn a_changed_envelope_is_refused(at in 0_usize..ENVELOPE.len() / 2, bit in 0_u8..8) {
        let mut changed = bytes(ENVELOPE);
        changed[at] ^= 1 << bit;
        if let Ok(signed) = SignedCharge::decode(&changed)
            && signed.sender() == payer().address()
            && signed.sponsored() == Sponsored::Asked
        {
            let intact = SignedCharge::decode(&bytes(ENVELOPE)).unwrap();
            prop_assert_eq!(signed.identity(), intact.identity(), "byte {}", at);
        }
    }

    #[test]
    fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0x75_u8..0x7a) {
        let _ = SignedCharge::decode(&bytes);
        let _ = SignedCharge::decode(&[&[kind], bytes.as_slice()].concat());
    }
}
