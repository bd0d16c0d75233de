//! [`Id`]: a time-ordered identifier (UUID version 7, RFC 9562 section 5.7); [`id_128!`](crate::id_128): names that are made of one.

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

/// A name of 128 bits for one kind of thing, as a type of its own, so that no two kinds are taken for one another. Callers choose
/// it, best time-ordered ([`Id`]).
///
/// ```
/// farthing_money::id_128! {
///     /// The name of a customer.
///     CustomerId
/// }
/// assert_eq!(CustomerId::from_u128(10).to_string(), "0000000000000000000000000000000a");
/// ```
#[macro_export]
macro_rules! id_128 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The id with these 128 bits.
            #[must_use]
            pub const fn from_u128(bits: u128) -> Self {
                Self(bits)
            }

            /// The 128 bits.
            #[must_use]
            pub const fn as_u128(self) -> u128 {
                self.0
            }

            /// Whether the id is one that nobody may use: all zeros or all ones, which is what forgotten
            /// initialisation looks like.
            #[must_use]
            pub const fn is_reserved(self) -> bool {
                self.0 == 0 || self.0 == u128::MAX
            }
        }

        impl From<$crate::Id> for $name {
            fn from(id: $crate::Id) -> Self {
                Self(id.as_u128())
            }
        }

        impl ::std::fmt::Display for $name {
            /// 32 hexadecimal digits.
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl $crate::__Serialize for $name {
            fn serialize<S: $crate::__Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
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
