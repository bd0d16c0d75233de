//! Sums of amounts, which may be larger than any amount: 128 bits and what they overflowed by.

use farthing_money::Amount;

/// A sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wide {
    high: i64,
    low: u128,
}

impl Wide {
    /// From the two parts that the database keeps.
    pub(super) fn from_parts(high: i64, low: &str) -> Option<Self> {
        let low = Amount::from_base_str(low).ok()?.base();
        (high >= 0).then_some(Self { high, low })
    }

    /// The two parts.
    pub(super) fn parts(self) -> (i64, String) {
        (self.high, self.low.to_string())
    }

    pub(super) const fn plus(self, amount: Amount) -> Self {
        let (low, over) = self.low.overflowing_add(amount.base());
        Self { high: if over { self.high + 1 } else { self.high }, low }
    }

    /// Never below zero where what is taken off was counted before.
    pub(super) const fn minus(self, amount: Amount) -> Self {
        let (low, under) = self.low.overflowing_sub(amount.base());
        Self { high: if under { self.high - 1 } else { self.high }, low }
    }

    /// Whether it is no more than `limit`.
    pub(super) const fn fits(self, limit: Amount) -> bool {
        self.high == 0 && self.low <= limit.base()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use farthing_money::Amount;

    use super::Wide;

    #[test]
    fn sums_beyond_amounts_come_back() {
        let zero = Wide::from_parts(0, "0").unwrap();
        let most = zero.plus(Amount::MAX);
        assert!(most.fits(Amount::MAX) && !most.fits(Amount::from_base(u128::MAX - 1)));
        let more = most.plus(Amount::from_base(1)).plus(Amount::MAX);
        assert_eq!(more.parts(), (1, u128::MAX.to_string()));
        assert!(!more.fits(Amount::MAX));
        assert_eq!(Wide::from_parts(1, &u128::MAX.to_string()), Some(more));
        assert_eq!(more.minus(Amount::MAX).minus(Amount::from_base(1)).minus(Amount::MAX), zero);
        assert_eq!(Wide::from_parts(-1, "0"), None);
        assert_eq!(Wide::from_parts(0, "-1"), None);
    }
}
