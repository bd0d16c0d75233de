//! What things cost. Intrinsic gas follows the chain's formula (TIP-1000 and TIP-1009, hardforks T2 to T6);
//! what a precompile spends is a table measured on the reference chain, exact for a single payment and close for the
//! rest.
//!
//! A new storage slot costs 250,000: a client that forgets that fails here as it would on the chain.

use crate::contract::Halt;
use alloy_primitives::{Address, Bytes, U256};
use std::collections::{HashMap, HashSet};
use tempo_contracts::precompiles::TIP_FEE_MANAGER_ADDRESS;
use tempo_primitives::transaction::{PrimitiveSignature, SignatureType, TempoSignature};

/// Gas of any transaction, before calldata, signatures and nonces.
const BASE: u64 = 21_000;
/// Each call after the first touches one more account.
const FURTHER_CALL: u64 = 2_600;
/// A nonce that goes from 0 to 1 creates a storage slot or an account.
const NEW_NONCE: u64 = 250_000;
/// Reading and writing a two-dimensional nonce that exists.
const KEYED_NONCE: u64 = 5_200;
/// The expiring-nonce ring and its set of seen hashes.
const EXPIRING_NONCE: u64 = 13_000;
/// P-256 verification beyond what the base pays for secp256k1.
const P256_VERIFY: u64 = 5_000;
/// What a zero byte of calldata costs; any other byte costs four of them.
const CALLDATA_TOKEN: u64 = 4;
/// The length that the node assumes for WebAuthn data nobody described.
const WEBAUTHN_DATA_LEN: u64 = 800;

/// What a precompile call spends beside the storage that it touches, by what it does.
pub(crate) mod cost {
    /// Storage that this transaction has not touched before costs this much more.
    pub(crate) const COLD: u64 = 2_000;
    /// The first change of a slot in this transaction.
    pub(crate) const CHANGE: u64 = 2_800;
    /// A change that fills an empty slot, beyond [`CHANGE`].
    pub(crate) const NEW_SLOT: u64 = 247_200;
    /// The part of a new slot's price that is given back when the calls that created it revert (TIP-1016).
    pub(crate) const NEW_SLOT_RETURNED: u64 = 230_000;
    /// Given back at the end for a slot that was emptied, up to a fifth of what was spent (EIP-3529).
    pub(crate) const CLEAR_REFUND: u64 = 4_800;
    /// Given back at the end, within the same bound, for a slot that was filled and emptied again.
    pub(crate) const UNFILL_REFUND: u64 = 247_800;
    /// A transfer, its log included.
    pub(crate) const TRANSFER: u64 = 3_374;
    /// The memo's log and its word of calldata.
    pub(crate) const MEMO: u64 = 2_137;
    /// The allowance that `transferFrom` looks at.
    pub(crate) const SPEND_ALLOWANCE: u64 = 106;
    /// An approval, its log included.
    pub(crate) const APPROVE: u64 = 2_174;
    /// A fee token preference that is changed, its log included.
    pub(crate) const SET_FEE_TOKEN: u64 = 9_212;
    /// A read.
    pub(crate) const VIEW: u64 = 2_206;
    /// A refusal of what can be seen without a balance.
    pub(crate) const REFUSE: u64 = 218;
    /// A refusal after a look at a balance.
    pub(crate) const REFUSE_BALANCE: u64 = 518;
    /// A refusal after a look at an allowance.
    pub(crate) const REFUSE_ALLOWANCE: u64 = 424;
    /// A selector that nobody knows.
    pub(crate) const UNKNOWN_SELECTOR: u64 = 106;
    /// A token that was never created.
    pub(crate) const UNKNOWN_TOKEN: u64 = 118;
}

/// The transaction needs more gas than it allows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfGas;

/// A group of storage slots that a token's functions touch together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    /// Whether the token is paused.
    Paused(Address),
    /// The token's transfer policy.
    Policy(Address),
    /// The token's reward total.
    Rewards(Address),
    /// A balance: token and holder.
    Balance(Address, Address),
    /// What a holder's rewards are kept in, three slots: token and holder.
    HolderRewards(Address, Address),
    /// An allowance: token, owner and spender.
    Allowance(Address, Address, Address),
}

impl Slot {
    const fn width(self) -> u64 {
        match self {
            Self::HolderRewards(..) => 3,
            _ => 1,
        }
    }
}

/// A slot's value before and after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) old: U256,
    pub(crate) new: U256,
}

/// The fee that a transaction's calls come after, which has loaded the storage that it moved in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fee {
    pub(crate) token: Address,
    pub(crate) payer: Address,
    pub(crate) collected: Collected,
}

/// Whether a fee was collected at all: a call that names no gas price is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collected {
    /// It was.
    Yes,
    /// There was none.
    No,
}

/// Counts gas against a limit, and knows what this transaction has touched.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    limit: u64,
    used: u64,
    /// What a revert gives back.
    returned: u64,
    /// What success gives back.
    refund: u64,
    touched: HashSet<Slot>,
    /// What changed slots held before the transaction.
    originals: HashMap<Slot, U256>,
}

impl Meter {
    /// A meter on which `intrinsic` is already spent, after the fee was collected.
    pub(crate) fn new(limit: u64, intrinsic: u64, fee: Fee) -> Self {
        let Fee { token, payer, collected } = fee;
        if collected == Collected::No {
            // Only looked at: whether the payer could pay.
            let touched = [Slot::Balance(token, payer)].into_iter().collect();
            return Self { limit, used: intrinsic.min(limit), touched, ..Self::default() };
        }
        let balances = [Slot::Balance(token, payer), Slot::Balance(token, TIP_FEE_MANAGER_ADDRESS)];
        let rest = [
            Slot::Paused(token),
            Slot::Policy(token),
            Slot::Rewards(token),
            Slot::HolderRewards(token, payer),
        ];
        Self {
            limit,
            used: intrinsic.min(limit),
            touched: balances.into_iter().chain(rest).collect(),
            // Collecting the fee changed them from a value that no call can bring back.
            originals: balances.map(|slot| (slot, U256::MAX)).into(),
            ..Self::default()
        }
    }

    pub(crate) fn charge(&mut self, gas: u64) -> Result<(), OutOfGas> {
        let used = self.used.saturating_add(gas);
        if used > self.limit {
            self.used = self.limit;
            return Err(OutOfGas);
        }
        self.used = used;
        Ok(())
    }

    /// Charges for the first touch of storage.
    pub(crate) fn touch(&mut self, slots: &[Slot]) -> Result<(), OutOfGas> {
        for slot in slots {
            if self.touched.insert(*slot) {
                self.charge(cost::COLD.saturating_mul(slot.width()))?;
            }
        }
        Ok(())
    }

    /// Charges for a write, by what the slot held before the transaction, before the write and after it (EIP-3529).
    pub(crate) fn write(&mut self, slot: Slot, write: Write) -> Result<(), OutOfGas> {
        self.touch(&[slot])?;
        let Write { old, new } = write;
        if old == new {
            return Ok(());
        }
        let original = *self.originals.entry(slot).or_insert(old);
        if old == original {
            self.charge(cost::CHANGE)?;
            if old.is_zero() {
                self.charge(cost::NEW_SLOT)?;
                self.returned = self.returned.saturating_add(cost::NEW_SLOT_RETURNED);
            }
        } else if old.is_zero() {
            self.refund = self.refund.saturating_sub(cost::CLEAR_REFUND);
        }
        if new.is_zero() && !original.is_zero() {
            self.refund = self.refund.saturating_add(cost::CLEAR_REFUND);
        }
        if new == original {
            let refund = if original.is_zero() { cost::UNFILL_REFUND } else { cost::CHANGE };
            self.refund = self.refund.saturating_add(refund);
        }
        Ok(())
    }

    /// Gives back what a revert gives back: the slots that were filled are empty again. Gas that ran out is gone.
    pub(crate) fn revert(&mut self, halt: &Halt) {
        if *halt != Halt::OutOfGas {
            self.used = self.used.saturating_sub(self.returned);
        }
        self.returned = 0;
        self.refund = 0;
    }

    /// What has been spent so far, which is what the limit has to allow.
    pub(crate) const fn used(&self) -> u64 {
        self.used
    }

    /// What is paid for in the end.
    pub(crate) fn billed(&self) -> u64 {
        self.used.saturating_sub(self.refund.min(self.used / 5))
    }
}

/// How a transaction consumes a nonce, as far as gas is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NonceGas {
    /// The first use of an account's nonce or of a nonce key.
    New,
    /// A protocol nonce that was used before.
    Protocol,
    /// A nonce key that was used before.
    Keyed,
    /// An expiring nonce.
    Expiring,
}

/// Gas that is spent before the first call runs.
pub(crate) fn intrinsic<'a>(
    calls: impl Iterator<Item = &'a Bytes>,
    nonce: NonceGas,
    signature_gas: u64,
) -> u64 {
    let mut count = 0u64;
    let mut tokens = 0u64;
    for input in calls {
        count = count.saturating_add(1);
        tokens = tokens.saturating_add(calldata_tokens(input));
    }
    let nonce = match nonce {
        NonceGas::New => NEW_NONCE,
        NonceGas::Protocol => 0,
        NonceGas::Keyed => KEYED_NONCE,
        NonceGas::Expiring => EXPIRING_NONCE,
    };
    [
        BASE,
        signature_gas,
        nonce,
        FURTHER_CALL.saturating_mul(count.saturating_sub(1)),
        CALLDATA_TOKEN.saturating_mul(tokens),
    ]
    .into_iter()
    .fold(0, u64::saturating_add)
}

/// What verifying this signature costs beyond the base.
pub(crate) fn signature_gas(signature: &TempoSignature) -> u64 {
    match signature {
        TempoSignature::Primitive(PrimitiveSignature::WebAuthn(webauthn)) => P256_VERIFY
            .saturating_add(CALLDATA_TOKEN.saturating_mul(calldata_tokens(&webauthn.webauthn_data))),
        other => announced_signature_gas(Some(other.signature_type())),
    }
}

/// What verifying a signature of this kind will cost, for an estimate made before signing.
pub(crate) fn announced_signature_gas(kind: Option<SignatureType>) -> u64 {
    match kind {
        None | Some(SignatureType::Secp256k1) => 0,
        Some(SignatureType::P256) => P256_VERIFY,
        Some(SignatureType::WebAuthn) => {
            P256_VERIFY.saturating_add(WEBAUTHN_DATA_LEN.saturating_mul(4 * CALLDATA_TOKEN))
        }
    }
}

fn calldata_tokens(input: &[u8]) -> u64 {
    input.iter().fold(0u64, |tokens, byte| tokens.saturating_add(if *byte == 0 { 1 } else { 4 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::bytes;
    use alloy_sol_types::SolCall;
    use tempo_contracts::precompiles::ITIP20;

    const FEE: Fee =
        Fee { token: Address::repeat_byte(1), payer: Address::repeat_byte(2), collected: Collected::Yes };

    #[test]
    fn intrinsic_gas_matches_the_reference_chain() {
        let transfer = |amount: u64| {
            let call = ITIP20::transferCall { to: Address::repeat_byte(0x11), amount: U256::from(amount) };
            Bytes::from(call.abi_encode())
        };
        // Totals seen on the reference chain, less what execution spent.
        let cases = [
            (vec![transfer(1000)], NonceGas::New, 549_758 - (14_174 + 247_200 + 16_800)),
            (vec![transfer(1003)], NonceGas::Keyed, 40_958 - 14_174),
            (vec![transfer(1100)], NonceGas::Expiring, 48_758 - 14_174),
            (vec![bytes!("1234")], NonceGas::Expiring, 34_032),
        ];
        for (calls, nonce, expected) in cases {
            assert_eq!(intrinsic(calls.iter(), nonce, 0), expected, "{nonce:?}");
        }
    }

    #[test]
    fn storage_is_dear_once() {
        let token = FEE.token;
        let slot = Slot::Balance(token, Address::repeat_byte(9));
        let mut meter = Meter::new(u64::MAX, 0, FEE);
        let write = |meter: &mut Meter, old: u64, new: u64| {
            let before = meter.used();
            meter.write(slot, Write { old: U256::from(old), new: U256::from(new) }).expect("no limit");
            meter.used() - before
        };
        assert_eq!(write(&mut meter, 0, 0), cost::COLD);
        assert_eq!(write(&mut meter, 0, 0), 0);
        assert_eq!(write(&mut meter, 0, 5), cost::CHANGE + cost::NEW_SLOT);
        assert_eq!(write(&mut meter, 5, 6), 0, "changed before");
        let full = meter.used();
        assert_eq!(meter.billed(), full);
        write(&mut meter, 6, 0);
        assert_eq!(meter.billed(), full - full / 5, "refunds stop at a fifth");
        meter.revert(&Halt::Revert(Bytes::new()));
        assert_eq!(meter.billed(), full - cost::NEW_SLOT_RETURNED);
        let other = Slot::Allowance(token, token, token);
        let mut meter = Meter::new(u64::MAX, 100_000, FEE);
        for (old, new, refund) in [(7u64, 0u64, cost::CLEAR_REFUND), (0, 8, 0), (8, 7, cost::CHANGE)] {
            meter.write(other, Write { old: U256::from(old), new: U256::from(new) }).expect("no limit");
            assert_eq!(meter.used() - meter.billed(), refund, "{old} to {new}");
        }
    }

    #[test]
    fn a_meter_never_counts_past_its_limit() {
        let mut meter = Meter::new(100, 60, FEE);
        assert_eq!(meter.charge(40), Ok(()));
        assert_eq!(meter.charge(1), Err(OutOfGas));
        assert_eq!(meter.used(), 100);
        assert_eq!(Meter::new(10, 60, FEE).used(), 10);
    }
}
