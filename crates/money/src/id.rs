//! [`Id`]: a time-ordered identifier (UUID version 7, RFC 9562 section 5.7).

use std::fmt;

/// A 128-bit identifier that sorts by the time it was made, so that unique indexes append instead of scattering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u128);

impl Id {
    /// An id for the instant `unix_ms`, made unique by `random`. The caller owns clock and randomness.
    #[must_use]
    pub const fn from_parts(unix_ms: u64, random: u128) -> Self {
        const VERSION_7: u128 = 0x7 << 76;
        const VARIANT: u128 = 0b10 << 62;
        const RANDOM: u128 = (0xfff << 64) | ((1 << 62) - 1);
        let time = ((unix_ms & 0xffff_ffff_ffff) as u128) << 80;
        Self(time | VERSION_7 | VARIANT | (random & RANDOM))
    }

    /// The 128 bits.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for Id {
    /// The usual form: `018f2c3e-7b1a-7c3d-9e2f-0123456789ab`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

#[cfg(test)]
mod tests {
    use super::Id;

    #[test]
    fn the_rfc_9562_example_comes_out() {
        // RFC 9562, appendix A.6.
        let random = (0xcc3_u128 << 64) | 0x18c4_dc0c_0c07_398f;
        let id = Id::from_parts(0x017f_22e2_79b0, random);
        assert_eq!(id.to_string(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    }

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        assert!(Id::from_parts(1, u128::MAX) < Id::from_parts(2, 0));
    }
}
