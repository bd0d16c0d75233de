//! What a charge moves, leg by leg, and matching it against what a transaction or a receipt moves. Order does not matter,
//! every movement counts once (TC3, TC4, TC5). It reads no chain.

use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_sol_types::{SolCall, SolEvent};
use tempo_primitives::transaction::Call;

use super::abi::Tip20;
use super::error::ChargeError;
use super::memo::{self, Attribution, Named};
use super::receipt::Log;
use super::request::ChargeRequest;

/// Which memo a leg needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegMemo {
    /// An attribution memo that names the challenge.
    Attribution,
    /// Exactly this one.
    Exact(B256),
    /// None, or the attribution memo again (one SDK repeats it).
    Plain,
}

/// One transfer that a charge needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    /// Who receives.
    pub recipient: Address,
    /// How much.
    pub amount: U256,
    /// With which memo.
    pub memo: LegMemo,
}

/// One transfer that a transaction makes or a receipt shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovedTransfer {
    /// Who receives.
    pub recipient: Address,
    /// How much.
    pub amount: U256,
    /// With which memo.
    pub memo: Option<B256>,
}

/// What is done about transfers that no leg needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// A transaction that we broadcast or sponsor makes none.
    Refused,
    /// A transaction on the chain may make others.
    Allowed,
}

/// The legs of a charge: the recipient's first, with the attribution memo, then the splits.
#[must_use]
pub fn legs(request: &ChargeRequest) -> Vec<Leg> {
    let primary = request.recipient.map(|recipient| Leg {
        recipient,
        amount: U256::from(request.primary_amount().base()),
        memo: LegMemo::Attribution,
    });
    let splits = request.splits.iter().map(|split| Leg {
        recipient: split.recipient,
        amount: U256::from(split.amount.base()),
        memo: split.memo.map_or(LegMemo::Plain, LegMemo::Exact),
    });
    primary.into_iter().chain(splits).collect()
}

/// The calls that pay the legs.
#[must_use]
pub fn calls(request: &ChargeRequest, attribution: B256) -> Vec<Call> {
    let call = |leg: Leg| {
        let (to, amount) = (leg.recipient, leg.amount);
        let input = match leg.memo {
            LegMemo::Attribution => {
                Tip20::transferWithMemoCall { to, amount, memo: attribution }.abi_encode()
            }
            LegMemo::Exact(memo) => Tip20::transferWithMemoCall { to, amount, memo }.abi_encode(),
            LegMemo::Plain => Tip20::transferCall { to, amount }.abi_encode(),
        };
        Call { to: TxKind::Call(request.currency), value: U256::ZERO, input: input.into() }
    };
    legs(request).into_iter().map(call).collect()
}

/// The transfers that calls make. Anything but a transfer of `currency` is refused (TC3).
///
/// # Errors
/// [`ChargeError::CallRefused`].
pub fn of_calls(calls: &[Call], currency: Address) -> Result<Vec<MovedTransfer>, ChargeError> {
    calls.iter().map(|call| of_call(call, currency)).collect()
}

fn of_call(call: &Call, currency: Address) -> Result<MovedTransfer, ChargeError> {
    let refused = |why| ChargeError::CallRefused { why };
    if call.to != TxKind::Call(currency) {
        return Err(refused("it calls another contract than the currency"));
    }
    if !call.value.is_zero() {
        return Err(refused("it sends value"));
    }
    // `abi_decode_validate` refuses dirty padding; the length test refuses bytes that follow the arguments.
    let arguments = call.input.len().saturating_sub(4);
    match call.input.get(..4) {
        Some(selector) if selector == Tip20::transferCall::SELECTOR && arguments == 64 => {
            Tip20::transferCall::abi_decode_validate(&call.input)
                .map(|it| MovedTransfer { recipient: it.to, amount: it.amount, memo: None })
                .map_err(|_| refused("its arguments are malformed"))
        }
        Some(selector) if selector == Tip20::transferWithMemoCall::SELECTOR && arguments == 96 => {
            Tip20::transferWithMemoCall::abi_decode_validate(&call.input)
                .map(|it| MovedTransfer { recipient: it.to, amount: it.amount, memo: Some(it.memo) })
                .map_err(|_| refused("its arguments are malformed"))
        }
        _ => Err(refused("it calls another function than transfer or transferWithMemo")),
    }
}

/// The transfers of `currency` that logs show, from `payer` where it is known. For one transfer with a memo, TIP-20 logs
/// `Transfer` and directly after it `TransferWithMemo`: the pair counts once.
#[must_use]
pub fn of_logs(logs: &[Log], currency: Address, payer: Option<Address>) -> Vec<MovedTransfer> {
    let mut moved: Vec<MovedTransfer> = Vec::new();
    let mut last_plain: Option<(Address, MovedTransfer)> = None;
    for log in logs {
        let Some((from, transfer)) = of_log(log, currency) else {
            last_plain = None;
            continue;
        };
        let companion = transfer.memo.is_some()
            && last_plain.is_some_and(|(by, plain)| {
                by == from && plain.recipient == transfer.recipient && plain.amount == transfer.amount
            });
        last_plain = transfer.memo.is_none().then_some((from, transfer));
        if payer.is_some_and(|payer| payer != from) {
            continue;
        }
        if companion {
            moved.pop();
        }
        moved.push(transfer);
    }
    moved
}

fn of_log(log: &Log, currency: Address) -> Option<(Address, MovedTransfer)> {
    if log.address != currency || log.data.len() != 32 {
        return None;
    }
    let topics = || log.topics.iter().copied();
    if log.topics.first() == Some(&Tip20::Transfer::SIGNATURE_HASH) {
        let it = Tip20::Transfer::decode_raw_log_validate(topics(), &log.data).ok()?;
        return Some((it.from, MovedTransfer { recipient: it.to, amount: it.amount, memo: None }));
    }
    let it = Tip20::TransferWithMemo::decode_raw_log_validate(topics(), &log.data).ok()?;
    Some((it.from, MovedTransfer { recipient: it.to, amount: it.amount, memo: Some(it.memo) }))
}

/// Matches every leg with a transfer of its own.
///
/// Strict rule: a transfer that names another challenge or realm matches nothing; and among transfers on the chain, where
/// another challenge is named, every leg must name ours, so that two charges never share a plain transfer.
///
/// # Errors
/// [`ChargeError::ExtraCalls`], [`ChargeError::MemoOfAnother`], [`ChargeError::TransferMissing`].
pub fn match_legs(
    legs: &[Leg],
    moved: &[MovedTransfer],
    named: Named<'_>,
    extra: Extra,
) -> Result<(), ChargeError> {
    if extra == Extra::Refused && moved.len() > legs.len() {
        return Err(ChargeError::ExtraCalls { expected: legs.len(), given: moved.len() });
    }
    let foreign = |it: &MovedTransfer| {
        it.memo.is_some_and(|memo| memo::attribution(&memo, named) == Attribution::Another)
    };
    let mut left: Vec<MovedTransfer> = moved.iter().copied().filter(|it| !foreign(it)).collect();
    let any_foreign = left.len() < moved.len();
    // Legs that need a memo choose first: what they need is of no use to each other.
    let mut order: Vec<&Leg> = legs.iter().collect();
    order.sort_by_key(|leg| leg.memo == LegMemo::Plain);
    for leg in order {
        let Some(at) = pick(leg, &left, named) else {
            return Err(if any_foreign {
                ChargeError::MemoOfAnother
            } else {
                ChargeError::TransferMissing { recipient: leg.recipient, amount: leg.amount }
            });
        };
        let taken = left.swap_remove(at);
        let ours = taken.memo.is_some_and(|memo| memo::attribution(&memo, named) == Attribution::Ours);
        if any_foreign && !ours {
            return Err(ChargeError::MemoOfAnother);
        }
    }
    Ok(())
}

fn pick(leg: &Leg, moved: &[MovedTransfer], named: Named<'_>) -> Option<usize> {
    let paid = |it: &MovedTransfer| it.recipient == leg.recipient && it.amount == leg.amount;
    let ours =
        |it: &MovedTransfer| it.memo.is_some_and(|memo| memo::attribution(&memo, named) == Attribution::Ours);
    match leg.memo {
        LegMemo::Attribution => moved.iter().position(|it| paid(it) && ours(it)),
        LegMemo::Exact(memo) => moved.iter().position(|it| paid(it) && it.memo == Some(memo)),
        LegMemo::Plain => moved
            .iter()
            .position(|it| paid(it) && it.memo.is_none())
            .or_else(|| moved.iter().position(|it| paid(it) && ours(it))),
    }
}

#[cfg(test)]
mod tests;
