//! The canonical bytes of an entry: fixed-width big-endian fields in one order, one spelling for one entry.
//!
//! Decoding is strict: what it accepts, encoding gives back byte for byte. It checks spelling, not sense; [`super::Replay`]
//! and the hash chain do the rest.

use farthing_money::{Amount, Asset, AssetKind};

use super::{Entry, Event, Hash, Posted, Released, Sealed};
use crate::asset::MAX_TEXT;
use crate::{
    AccountId, AssetId, Expiry, Limit, NewAccount, NewAsset, NewHold, PostAmount, PostHold, Remainder,
    Settlement, Tag, Timestamp, Transfer, TransferId,
};

/// Why bytes are not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// They end too early.
    #[error("the entry ends too early")]
    Truncated,
    /// They go on after the end.
    #[error("{extra} bytes follow the entry")]
    TrailingBytes {
        /// How many.
        extra: usize,
    },
    /// A field has a value that is never written.
    #[error("field {field} cannot have the value that is there")]
    BadValue {
        /// Which field.
        field: &'static str,
    },
}

impl DecodeError {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Truncated => "entry_truncated",
            Self::TrailingBytes { .. } => "entry_trailing_bytes",
            Self::BadValue { .. } => "entry_bad_value",
        }
    }
}

impl Entry {
    /// Appends the canonical bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(kind(&self.event));
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.at.unix_ms().to_be_bytes());
        match &self.event {
            Event::AssetDefined(new) => put_asset(out, new),
            Event::AccountOpened(new) => {
                put_u128(out, new.id.as_u128());
                put_u32(out, new.asset.as_u32());
                out.push(limit_byte(new.limit));
            }
            Event::AccountClosed(id) => put_u128(out, id.as_u128()),
            Event::Transferred(transfer) => put_transfer(out, transfer),
            Event::Held(hold) => {
                put_transfer(out, &hold.transfer);
                put_expiry(out, hold.expiry);
            }
            Event::Posted(posted) => put_posted(out, posted),
            Event::Voided { id, reference, released } => {
                put_u128(out, id.as_u128());
                put_u128(out, *reference);
                put_released(out, released);
            }
            Event::Expired(released) => put_released(out, released),
        }
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that [`Entry::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut read = Reader { rest: bytes };
        let kind = read.u8()?;
        let (seq, at) = (read.u64()?, Timestamp::from_unix_ms(read.u64()?));
        let event = match kind {
            1 => Event::AssetDefined(read.asset()?),
            2 => Event::AccountOpened(NewAccount {
                id: read.account()?,
                asset: read.asset_id()?,
                limit: read.limit()?,
            }),
            3 => Event::AccountClosed(read.account()?),
            4 => Event::Transferred(read.transfer()?),
            5 => Event::Held(NewHold { transfer: read.transfer()?, expiry: read.expiry()? }),
            6 => Event::Posted(read.posted()?),
            7 => Event::Voided { id: read.id()?, reference: read.u128()?, released: read.released()? },
            8 => Event::Expired(read.released()?),
            _ => return Err(DecodeError::BadValue { field: "kind" }),
        };
        match read.rest.len() {
            0 => Ok(Self { seq, at, event }),
            extra => Err(DecodeError::TrailingBytes { extra }),
        }
    }
}

/// Appends a sealed entry to a serialized journal: the length of the body in four bytes, the body, the hash.
///
/// # Panics
/// Never: a body has at most a few texts of bounded length.
pub fn write_sealed(sealed: &Sealed, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    sealed.entry.encode(out);
    let length = u32::try_from(out.len() - start - 4).expect("a body is a few hundred bytes");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    out.extend_from_slice(sealed.hash.as_bytes());
}

/// Reads one sealed entry from the front of a serialized journal, and moves `bytes` past it.
///
/// # Errors
/// [`DecodeError`] when what is there is not an entry.
pub fn read_sealed(bytes: &mut &[u8]) -> Result<Sealed, DecodeError> {
    let mut read = Reader { rest: bytes };
    let length = usize::try_from(read.u32()?).map_err(|_| DecodeError::BadValue { field: "length" })?;
    let entry = Entry::decode(read.take(length)?)?;
    let hash = Hash::from_bytes(read.array()?);
    *bytes = read.rest;
    Ok(Sealed { entry, hash })
}

/// The number that names a kind of event. Never reused.
const fn kind(event: &Event) -> u8 {
    match event {
        Event::AssetDefined(_) => 1,
        Event::AccountOpened(_) => 2,
        Event::AccountClosed(_) => 3,
        Event::Transferred(_) => 4,
        Event::Held(_) => 5,
        Event::Posted(_) => 6,
        Event::Voided { .. } => 7,
        Event::Expired(_) => 8,
    }
}

const fn limit_byte(limit: Limit) -> u8 {
    match limit {
        Limit::None => 1,
        Limit::DebitsMustNotExceedCredits => 2,
        Limit::CreditsMustNotExceedDebits => 3,
    }
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_u128(out: &mut Vec<u8>, value: u128) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_u32(out, u32::try_from(text.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(text.as_bytes());
}

fn put_asset(out: &mut Vec<u8>, new: &NewAsset) {
    put_u32(out, new.id.as_u32());
    out.push(new.asset.scale());
    put_text(out, new.asset.code());
    match new.asset.kind() {
        AssetKind::Fiat => out.push(1),
        AssetKind::Token { network, address } => {
            out.push(2);
            put_text(out, network);
            put_text(out, address);
        }
        AssetKind::Custom => out.push(3),
    }
}

fn put_transfer(out: &mut Vec<u8>, transfer: &Transfer) {
    put_u128(out, transfer.id.as_u128());
    put_u128(out, transfer.debit.as_u128());
    put_u128(out, transfer.credit.as_u128());
    put_u32(out, transfer.asset.as_u32());
    put_u128(out, transfer.amount.base());
    put_u32(out, transfer.code);
    put_u128(out, transfer.tag.subject);
    put_u128(out, transfer.tag.reference);
}

fn put_expiry(out: &mut Vec<u8>, expiry: Expiry) {
    let (tag, at) = match expiry {
        Expiry::Never => (1, 0),
        Expiry::At(at) => (2, at.unix_ms()),
    };
    out.push(tag);
    out.extend_from_slice(&at.to_be_bytes());
}

fn put_posted(out: &mut Vec<u8>, posted: &Posted) {
    put_u128(out, posted.post.id.as_u128());
    put_u128(out, posted.post.hold.as_u128());
    put_u128(out, posted.debit.as_u128());
    put_u128(out, posted.credit.as_u128());
    put_u32(out, posted.asset.as_u32());
    // The amount asked for is not written twice: an exact one is what was posted.
    out.push(if matches!(posted.post.amount, PostAmount::Exact(_)) { 1 } else { 2 });
    out.push(if posted.post.remainder == Remainder::Keep { 1 } else { 2 });
    put_u128(out, posted.settlement.posted.base());
    put_u128(out, posted.settlement.released.base());
    put_u128(out, posted.left.base());
    put_u128(out, posted.post.reference);
}

fn put_released(out: &mut Vec<u8>, released: &Released) {
    put_u128(out, released.hold.as_u128());
    put_u128(out, released.debit.as_u128());
    put_u128(out, released.credit.as_u128());
    put_u32(out, released.asset.as_u32());
    put_u128(out, released.amount.base());
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    fn u128(&mut self) -> Result<u128, DecodeError> {
        self.array().map(u128::from_be_bytes)
    }

    fn amount(&mut self) -> Result<Amount, DecodeError> {
        self.u128().map(Amount::from_base)
    }

    fn id(&mut self) -> Result<TransferId, DecodeError> {
        self.u128().map(TransferId::from_u128)
    }

    fn account(&mut self) -> Result<AccountId, DecodeError> {
        self.u128().map(AccountId::from_u128)
    }

    fn asset_id(&mut self) -> Result<AssetId, DecodeError> {
        self.u32().map(AssetId::from_u32)
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let bad = DecodeError::BadValue { field: "text" };
        let length = usize::try_from(self.u32()?).map_err(|_| bad.clone())?;
        if length > MAX_TEXT {
            return Err(bad);
        }
        std::str::from_utf8(self.take(length)?).map_err(|_| bad)
    }

    fn limit(&mut self) -> Result<Limit, DecodeError> {
        match self.u8()? {
            1 => Ok(Limit::None),
            2 => Ok(Limit::DebitsMustNotExceedCredits),
            3 => Ok(Limit::CreditsMustNotExceedDebits),
            _ => Err(DecodeError::BadValue { field: "limit" }),
        }
    }

    fn asset(&mut self) -> Result<NewAsset, DecodeError> {
        let id = self.asset_id()?;
        let scale = self.u8()?;
        let code = self.text()?;
        let kind = match self.u8()? {
            1 => AssetKind::Fiat,
            2 => AssetKind::Token { network: self.text()?.into(), address: self.text()?.into() },
            3 => AssetKind::Custom,
            _ => return Err(DecodeError::BadValue { field: "asset kind" }),
        };
        let asset = Asset::new(code, scale, kind).map_err(|_| DecodeError::BadValue { field: "asset" })?;
        Ok(NewAsset { id, asset })
    }

    fn transfer(&mut self) -> Result<Transfer, DecodeError> {
        Ok(Transfer {
            id: self.id()?,
            debit: self.account()?,
            credit: self.account()?,
            asset: self.asset_id()?,
            amount: self.amount()?,
            code: self.u32()?,
            tag: Tag { subject: self.u128()?, reference: self.u128()? },
        })
    }

    fn expiry(&mut self) -> Result<Expiry, DecodeError> {
        match (self.u8()?, self.u64()?) {
            (1, 0) => Ok(Expiry::Never),
            (2, at) => Ok(Expiry::At(Timestamp::from_unix_ms(at))),
            _ => Err(DecodeError::BadValue { field: "expiry" }),
        }
    }

    fn posted(&mut self) -> Result<Posted, DecodeError> {
        let (id, hold) = (self.id()?, self.id()?);
        let (debit, credit, asset) = (self.account()?, self.account()?, self.asset_id()?);
        let (amount, remainder) = (self.u8()?, self.u8()?);
        let settlement = Settlement { posted: self.amount()?, released: self.amount()? };
        let left = self.amount()?;
        let amount = match amount {
            1 => PostAmount::Exact(settlement.posted),
            2 => PostAmount::Rest,
            _ => return Err(DecodeError::BadValue { field: "post amount" }),
        };
        let remainder = match remainder {
            1 => Remainder::Keep,
            2 => Remainder::Release,
            _ => return Err(DecodeError::BadValue { field: "remainder" }),
        };
        let post = PostHold { id, hold, amount, remainder, reference: self.u128()? };
        Ok(Posted { post, debit, credit, asset, settlement, left })
    }

    fn released(&mut self) -> Result<Released, DecodeError> {
        Ok(Released {
            hold: self.id()?,
            debit: self.account()?,
            credit: self.account()?,
            asset: self.asset_id()?,
            amount: self.amount()?,
        })
    }
}
