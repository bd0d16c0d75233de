//! The ways to round; no division happens without naming one.

/// How a division that does not come out even is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Towards zero: what the payer is given back.
    Down,
    /// Away from zero: what the payer is asked for.
    Up,
    /// To the nearest, halves to the even neighbour: what reports use.
    HalfEven,
}
