//! [`Chart`]: which assets of a ledger one kind of money uses, and [`Reason`]: why something moved. It holds no balance.

use farthing_ledger::{AssetId, Command, NewAsset};
use farthing_money::{Asset, AssetKind, MoneyError};

/// The three assets of a ledger that belong to one kind of money.
///
/// Permission to spend is counted in an asset of its own: the ledger refuses any transfer between the two, so that a limit
/// can never become money, and reports of money need not leave limits out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chart {
    /// What is spent.
    pub money: AssetId,
    /// Permission to spend as many base units of it.
    pub allowance: AssetId,
    /// Permission to have a child. The same for every kind of money.
    pub seats: AssetId,
}

impl Chart {
    /// What defines the two assets that are not money.
    ///
    /// # Errors
    /// [`MoneyError::BadCode`] when the money's code leaves no room for the mark before it.
    pub fn define(&self, money: &Asset) -> Result<[Command; 2], MoneyError> {
        let allowance = Asset::new(&format!("may:{}", money.code()), money.scale(), AssetKind::Custom)?;
        let seats = Asset::new("seats", 0, AssetKind::Custom)?;
        let define = |id, asset| Command::DefineAsset(NewAsset { id, asset });
        Ok([define(self.allowance, allowance), define(self.seats, seats)])
    }
}

/// Why something moved: the `code` of a transfer. The numbers never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Reason {
    /// A call was paid for: the money.
    Spend = 1,
    /// A call was paid for: what it used up of a limit.
    Limit = 2,
    /// A limit was filled, raised or lowered.
    Allowance = 3,
    /// A budget took or gave back the seat of a child.
    Seat = 4,
    /// Money or allowance was carved out for a child.
    Carve = 5,
    /// What a carved budget had left went back to its parent.
    Reclaim = 6,
    /// A spend was given back.
    Refund = 7,
    /// Money came in: a deposit or a top-up.
    Deposit = 8,
    /// Money was granted.
    Grant = 9,
    /// A grant ran out.
    GrantExpired = 10,
    /// A funding source took money back.
    Chargeback = 11,
    /// What a wallet owed was paid.
    Repayment = 12,
    /// An operator corrected a balance.
    Adjustment = 13,
    /// A line of credit was given or taken away.
    Overdraft = 14,
    /// What a vendor took for a call.
    Cost = 15,
}

impl Reason {
    /// The number in the ledger.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }
}
