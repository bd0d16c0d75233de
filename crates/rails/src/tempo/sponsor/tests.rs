#![allow(clippy::unwrap_used, reason = "tests")]

use std::num::NonZeroU64;

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, U256};
use farthing_money::Amount;
use farthing_protocol::UnixMs;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use tempo_primitives::transaction::{
    Call, FEE_PAYER_SIGNATURE_MARKER, PrimitiveSignature, tt_signature::P256SignatureWithPreHash,
};
use tempo_primitives::{TempoSignature, TempoTransaction};

use super::{SponsorPolicy, Sponsorship, fee_bound};
use crate::tempo::memo::{self, Named};
use crate::tempo::offline::{self, Against, FeePayer};
use crate::tempo::request::{ChargeRequest, Fee};
use crate::tempo::transaction::SignedCharge;
use crate::tempo::{MODERATO, PrivateKey, did, tokens, transaction, transfers};

const NOW: u64 = 1_900_000_000;
const NAMED: Named<'static> = Named { realm: "api.example.com", challenge_id: "challenge-123" };

fn payer() -> PrivateKey {
    PrivateKey::from_bytes(&[0x11; 32]).unwrap()
}

fn charge() -> ChargeRequest {
    let recipient = did::parse_address("0x742d35Cc6634c0532925a3b844bC9e7595F8fE00").unwrap();
    ChargeRequest {
        fee: Fee::Seller,
        ..offline::plain_charge(Amount::from_base(1_000_000), tokens::PATH_USD, recipient)
    }
}

fn calls(named: Named<'_>) -> Vec<Call> {
    transfers::calls(&charge(), memo::encode(named, None))
}

fn tx() -> TempoTransaction {
    TempoTransaction {
        chain_id: MODERATO,
        max_priority_fee_per_gas: 1,
        max_fee_per_gas: 1,
        gas_limit: 1_000_000,
        calls: calls(NAMED),
        nonce_key: U256::MAX,
        valid_before: NonZeroU64::new(NOW + 60),
        ..TempoTransaction::default()
    }
}

fn cosign(envelope: &[u8]) -> Result<offline::Cosigned, crate::tempo::ChargeError> {
    let charge = charge();
    let against = Against {
        charge: &charge,
        named: NAMED,
        chain_id: MODERATO,
        expires: UnixMs::from_ms((NOW + 300) * 1000),
        now: UnixMs::from_ms(NOW * 1000),
    };
    let key = PrivateKey::from_bytes(&[0x22; 32]).unwrap();
    let policy = SponsorPolicy::for_chain(MODERATO);
    offline::cosign(envelope, against, FeePayer { key: &key, fee_token: tokens::PATH_USD, policy })
}

#[test]
fn the_policy_is_checked_rule_by_rule_before_anything_is_signed() {
    const GWEI: u128 = 1_000_000_000;
    let ends = |at| NonZeroU64::new(at);
    let access_list = AccessList(vec![AccessListItem { address: Address::ZERO, storage_keys: Vec::new() }]);
    let other = Named { challenge_id: "other", ..NAMED };
    let plain = ChargeRequest { splits: Vec::new(), ..charge() };
    let twice = [calls(NAMED), transfers::calls(&plain, memo::encode(NAMED, None))].concat();
    let cases = [
        ("ok", tx()),
        ("ok", TempoTransaction { gas_limit: 2_000_000, ..tx() }),
        ("sponsor_gas", TempoTransaction { gas_limit: 2_000_001, ..tx() }),
        ("sponsor_fee", TempoTransaction { max_fee_per_gas: 100 * GWEI + 1, ..tx() }),
        ("sponsor_priority_over_fee", TempoTransaction { max_priority_fee_per_gas: 2, ..tx() }),
        (
            "sponsor_priority",
            TempoTransaction {
                max_priority_fee_per_gas: 50 * GWEI + 1,
                max_fee_per_gas: 60 * GWEI,
                gas_limit: 100_000,
                ..tx()
            },
        ),
        ("ok", TempoTransaction { max_fee_per_gas: 50 * GWEI, ..tx() }),
        ("sponsor_total", TempoTransaction { max_fee_per_gas: 50 * GWEI + 1, ..tx() }),
        ("sponsor_window", TempoTransaction { valid_before: ends(NOW + 901), ..tx() }),
        ("valid_too_long", TempoTransaction { valid_before: ends(NOW + 302), ..tx() }),
        ("ok", TempoTransaction { valid_before: ends(NOW + 15), ..tx() }),
        ("sponsor_too_late", TempoTransaction { valid_before: ends(NOW + 14), ..tx() }),
        ("no_valid_before", TempoTransaction { valid_before: None, ..tx() }),
        ("sponsor_nonce_key", TempoTransaction { nonce_key: U256::ZERO, ..tx() }),
        ("sponsor_access_list", TempoTransaction { access_list, ..tx() }),
        ("memo_of_another_challenge", TempoTransaction { calls: calls(other), ..tx() }),
        ("extra_calls", TempoTransaction { calls: twice, ..tx() }),
        ("wrong_chain", TempoTransaction { chain_id: 4217, ..tx() }),
    ];
    for (i, (expected, tx)) in cases.into_iter().enumerate() {
        let got = cosign(&offline::envelope(tx, &payer())).map_or_else(|error| error.code(), |_| "ok");
        assert_eq!(got, expected, "TC7: case {i}");
    }
    let named = offline::envelope_naming_fee_token(tx(), &payer(), Address::repeat_byte(0x99));
    assert_eq!(cosign(&named).unwrap_err().code(), "sponsor_fee_token", "TC7");
}

#[test]
fn a_cosigned_transaction_is_complete_and_recovers_both() {
    let cosigned = cosign(&offline::envelope(tx(), &payer())).unwrap();
    assert_eq!(
        (cosigned.sender, cosigned.call_count, cosigned.access_list_length),
        (payer().address(), 1, 0)
    );
    assert_eq!(cosigned.raw[0], 0x76);
    // A complete transaction leaves no place for a second fee payer.
    assert_eq!(SignedCharge::decode(&cosigned.raw).unwrap_err().code(), "sponsor_not_offered");
}

#[test]
fn fees_are_rounded_up_to_base_units() {
    let cases = [
        (0, 0, 0),
        (1, 1, 1),
        (21_000, 1_000_000_000, 21),
        (1_000_000, 1, 1),
        (120_000, 41_000_000_000, 4_920),
    ];
    for (gas, price, expected) in cases {
        assert_eq!(fee_bound(gas, price), Amount::from_base(expected), "{gas} {price}");
    }
    assert_eq!(fee_bound(u64::MAX, u128::MAX), Amount::MAX);
}

#[test]
fn what_settling_can_cost_counts_against_a_daily_budget() {
    let sponsorship = Sponsorship::new(MODERATO, payer(), Amount::from_base(500));
    let costly = TempoTransaction { max_fee_per_gas: 41_000_000_000, gas_limit: 120_000, ..tx() };
    let reservation = sponsorship.reservation(&costly);
    assert_eq!(reservation.budget, "tempo:42431:sponsor");
    assert_eq!((reservation.amount, reservation.limit), (Amount::from_base(4_920), Amount::from_base(500)));
    assert_eq!(reservation.window_ms, 86_400_000);
}

#[test]
fn only_signatures_whose_cost_a_simulation_knows_are_sponsored() {
    let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let tx = TempoTransaction { fee_payer_signature: Some(FEE_PAYER_SIGNATURE_MARKER), ..tx() };
    let signed: p256::ecdsa::Signature = key.sign_prehash(tx.signature_hash().as_slice()).unwrap();
    let signed = signed.normalize_s().unwrap_or(signed);
    let point = key.verifying_key().to_encoded_point(false);
    let signature = P256SignatureWithPreHash {
        r: B256::from_slice(&signed.r().to_bytes()),
        s: B256::from_slice(&signed.s().to_bytes()),
        pub_key_x: B256::from_slice(point.x().unwrap()),
        pub_key_y: B256::from_slice(point.y().unwrap()),
        pre_hash: false,
    };
    let signature = TempoSignature::Primitive(PrimitiveSignature::P256(signature));
    let sender = signature.recover_signer(&tx.signature_hash()).unwrap();
    let complete = tx.into_signed(signature);
    let envelope = transaction::encode_envelope(&complete, sender);
    assert_eq!(cosign(&envelope).unwrap_err().code(), "sponsor_signature_kind");
}
