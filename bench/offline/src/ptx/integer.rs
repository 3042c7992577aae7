//! Integers of a width: what an instruction computes of the low bits of its operands.

use super::alu::{mask, signed, truth};

pub(super) fn invert<const B: u32>(a: u64, _: u64, _: u64) -> u64 {
    !a & mask(B)
}

pub(super) fn add<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    a.wrapping_add(b) & mask(B)
}

pub(super) fn subtract<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    a.wrapping_sub(b) & mask(B)
}

/// A product without a third operand adds a register that holds 0.
pub(super) fn low<const B: u32>(a: u64, b: u64, c: u64) -> u64 {
    a.wrapping_mul(b).wrapping_add(c) & mask(B)
}

pub(super) fn wide<const B: u32>(a: u64, b: u64, c: u64) -> u64 {
    (a & mask(B)).wrapping_mul(b & mask(B)).wrapping_add(c) & mask(2 * B)
}

pub(super) fn wide_signed<const B: u32>(a: u64, b: u64, c: u64) -> u64 {
    let product = signed(a, B).wrapping_mul(signed(b, B));
    (product as u64).wrapping_add(c) & mask(2 * B)
}

pub(super) fn high<const B: u32>(a: u64, b: u64, c: u64) -> u64 {
    let product = u128::from(a & mask(B)) * u128::from(b & mask(B));
    ((product >> B) as u64).wrapping_add(c) & mask(B)
}

pub(super) fn high_signed<const B: u32>(a: u64, b: u64, c: u64) -> u64 {
    let product = i128::from(signed(a, B)) * i128::from(signed(b, B));
    ((product >> B) as u64).wrapping_add(c) & mask(B)
}

/// What a card gives for a division by zero is all ones; PTX leaves it open.
pub(super) fn divide<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    let (a, b) = (a & mask(B), b & mask(B));
    a.checked_div(b).unwrap_or(mask(B))
}

pub(super) fn divide_signed<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    match signed(b, B) {
        0 => mask(B),
        by => signed(a, B).wrapping_div(by) as u64 & mask(B),
    }
}

pub(super) fn remainder<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    let (a, b) = (a & mask(B), b & mask(B));
    a.checked_rem(b).unwrap_or(a)
}

pub(super) fn remainder_signed<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    match signed(b, B) {
        0 => a & mask(B),
        by => signed(a, B).wrapping_rem(by) as u64 & mask(B),
    }
}

pub(super) fn left<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    match b & mask(32) {
        by if by >= u64::from(B) => 0,
        by => (a << by) & mask(B),
    }
}

pub(super) fn right<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    match b & mask(32) {
        by if by >= u64::from(B) => 0,
        by => (a & mask(B)) >> by,
    }
}

pub(super) fn right_signed<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    (signed(a, B) >> (b & mask(32)).min(63)) as u64 & mask(B)
}

pub(super) fn least<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    (a & mask(B)).min(b & mask(B))
}

pub(super) fn largest<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    (a & mask(B)).max(b & mask(B))
}

pub(super) fn least_signed<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    signed(a, B).min(signed(b, B)) as u64 & mask(B)
}

pub(super) fn largest_signed<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    signed(a, B).max(signed(b, B)) as u64 & mask(B)
}

pub(super) fn negate<const B: u32>(a: u64, _: u64, _: u64) -> u64 {
    a.wrapping_neg() & mask(B)
}

pub(super) fn absolute<const B: u32>(a: u64, _: u64, _: u64) -> u64 {
    signed(a, B).unsigned_abs() & mask(B)
}

/// `c` bits of `a`, from bit `b` on.
pub(super) fn extract<const B: u32>(a: u64, b: u64, c: u64) -> u64 {
    let (start, count) = ((b & 0xff) as u32, (c & 0xff) as u32);
    match start {
        start if start >= B => 0,
        start => ((a & mask(B)) >> start) & mask(count.min(B)),
    }
}

/// A comparison of the low bits, as they are or signed.
macro_rules! comparison {
    ($name:ident, $name_signed:ident, $operator:tt) => {
        pub(super) fn $name<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
            truth((a & mask(B)) $operator (b & mask(B)))
        }

        pub(super) fn $name_signed<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
            truth(signed(a, B) $operator signed(b, B))
        }
    };
}
comparison!(below, below_signed, <);
comparison!(at_most, at_most_signed, <=);
comparison!(above, above_signed, >);
comparison!(at_least, at_least_signed, >=);

pub(super) fn equal<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    truth(a & mask(B) == b & mask(B))
}

pub(super) fn unequal<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    truth(a & mask(B) != b & mask(B))
}
