//! What an instruction computes, to the last bit where PTX says what that is: a function chosen once, when the instruction is read.
//!
//! The approximations of a card (`ex2.approx`, `rsqrt.approx`, ...) are within two units of its last place; here they are rounded from
//! the exact value. Denormal numbers are kept, but where an instruction says `.ftz`.

use super::convert::convert;
use super::instruction::{Compute, Instruction, Type};
use super::integer::*;
use super::round;
use half::{bf16, f16};

/// From the bits of up to three operands to those of the result.
pub(super) type Alu = fn(u64, u64, u64) -> u64;

/// A function of numbers of one format.
macro_rules! float {
    ($of:path, $to:expr, |$a:ident, $b:ident, $c:ident| $value:expr) => {
        |$a, $b, $c| {
            let ($a, $b, $c) = ($of($a), $of($b), $of($c));
            let _ = (&$a, &$b, &$c);
            $to($value)
        }
    };
}

pub(super) fn single(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

pub(super) fn double(bits: u64) -> f64 {
    f64::from_bits(bits)
}

pub(super) fn half(bits: u64) -> f64 {
    f16::from_bits(bits as u16).to_f64()
}

pub(super) fn brain(bits: u64) -> f64 {
    bf16::from_bits(bits as u16).to_f64()
}

pub(super) fn of_single(value: f32) -> u64 {
    u64::from(value.to_bits())
}

pub(super) fn of_half(value: f64) -> u64 {
    u64::from(f16::from_f64(value).to_bits())
}

pub(super) fn of_brain(value: f64) -> u64 {
    u64::from(bf16::from_f64(value).to_bits())
}

/// The low `bits` of a word.
pub(super) fn mask(bits: u32) -> u64 {
    match bits {
        64.. => u64::MAX,
        _ => (1 << bits) - 1,
    }
}

pub(super) fn signed(value: u64, bits: u32) -> i64 {
    let shift = 64 - bits.min(64);
    ((value << shift) as i64) >> shift
}

/// A predicate.
pub(super) fn truth(holds: bool) -> u64 {
    u64::from(holds)
}

/// The function of `it`; none where it is not modelled.
pub(super) fn of(it: &Instruction, compute: Compute) -> Option<Alu> {
    let words: Vec<&str> = it.words.iter().map(String::as_str).collect();
    let bits = it.ty.bits();
    let is_signed = matches!(it.ty, Type::S(_));
    let is_brain = words.contains(&"bf16");
    let alu: Alu = match (compute, it.ty) {
        (Compute::Move, _) => |a, _, _| a,
        (Compute::Convert, _) => return convert(it, &words),
        (Compute::Compare, _) => return compare(it, &words),
        (Compute::Select, _) => |a, b, holds| if holds != 0 { a } else { b },
        (Compute::And, _) => |a, b, _| a & b,
        (Compute::Or, _) => |a, b, _| a | b,
        (Compute::Xor, _) => |a, b, _| a ^ b,
        (Compute::Not, Type::Pred) => |a, _, _| a ^ 1,
        (Compute::Not, _) => sized!(bits, invert),
        (_, Type::F(32)) => return on_singles(compute, &words),
        (_, Type::F(64)) => return on_doubles(compute, &words),
        (_, Type::F(16)) if is_brain => return on_brains(compute),
        (_, Type::F(16)) => return on_halves(compute),
        (_, Type::Pair) if words.contains(&"bf16x2") => return on_pairs_of_brains(compute),
        (_, Type::Pair) => return on_pairs(compute),
        _ => return on_integers(it, compute, bits, is_signed),
    };
    Some(alu)
}

fn on_singles(compute: Compute, words: &[&str]) -> Option<Alu> {
    // Rounded to the nearest, unless one of these says otherwise.
    let down = words.contains(&"rm");
    let other = ["rz", "rp"].iter().any(|word| words.contains(word));
    if other || words.contains(&"ftz") && !words.contains(&"approx") {
        return None;
    }
    if words.contains(&"sat") {
        return None;
    }
    let of_nan = words.contains(&"NaN");
    macro_rules! f {
        (|$a:ident, $b:ident, $c:ident| $value:expr) => {
            float!(single, of_single, |$a, $b, $c| $value)
        };
    }
    let alu: Alu = match compute {
        Compute::MultiplyAdd if down => f!(|a, b, c| round::fma_down(a, b, c)),
        _ if down => return None,
        Compute::Add => f!(|a, b, c| a + b),
        Compute::Subtract => f!(|a, b, c| a - b),
        Compute::Multiply => f!(|a, b, c| a * b),
        Compute::Divide => f!(|a, b, c| a / b),
        Compute::MultiplyAdd => f!(|a, b, c| a.mul_add(b, c)),
        Compute::Least if of_nan => f!(|a, b, c| if a.is_nan() || b.is_nan() {
            f32::NAN
        } else {
            a.min(b)
        }),
        Compute::Largest if of_nan => f!(|a, b, c| if a.is_nan() || b.is_nan() {
            f32::NAN
        } else {
            a.max(b)
        }),
        Compute::Least => f!(|a, b, c| a.min(b)),
        Compute::Largest => f!(|a, b, c| a.max(b)),
        Compute::Negate => f!(|a, b, c| -a),
        Compute::Absolute => f!(|a, b, c| a.abs()),
        Compute::Root => f!(|a, b, c| a.sqrt()),
        Compute::Reciprocal => f!(|a, b, c| 1.0 / a),
        Compute::InverseRoot => f!(|a, b, c| (1.0 / f64::from(a).sqrt()) as f32),
        Compute::Exponential => {
            f!(|a, b, c| round::flushed(f64::from(round::flushed(a)).exp2() as f32))
        }
        Compute::Logarithm => f!(|a, b, c| f64::from(round::flushed(a)).log2() as f32),
        Compute::Sine => f!(|a, b, c| f64::from(a).sin() as f32),
        Compute::Cosine => f!(|a, b, c| f64::from(a).cos() as f32),
        Compute::Tangent => f!(|a, b, c| f64::from(a).tanh() as f32),
        Compute::CopySign => f!(|a, b, c| b.copysign(a)),
        _ => return None,
    };
    Some(alu)
}

fn on_doubles(compute: Compute, words: &[&str]) -> Option<Alu> {
    if ["rz", "rp", "rm"].iter().any(|word| words.contains(word)) {
        return None;
    }
    macro_rules! f {
        (|$a:ident, $b:ident, $c:ident| $value:expr) => {
            float!(double, f64::to_bits, |$a, $b, $c| $value)
        };
    }
    let alu: Alu = match compute {
        Compute::Add => f!(|a, b, c| a + b),
        Compute::Subtract => f!(|a, b, c| a - b),
        Compute::Multiply => f!(|a, b, c| a * b),
        Compute::Divide => f!(|a, b, c| a / b),
        Compute::MultiplyAdd => f!(|a, b, c| a.mul_add(b, c)),
        Compute::Least => f!(|a, b, c| a.min(b)),
        Compute::Largest => f!(|a, b, c| a.max(b)),
        Compute::Negate => f!(|a, b, c| -a),
        Compute::Absolute => f!(|a, b, c| a.abs()),
        Compute::Root => f!(|a, b, c| a.sqrt()),
        // `rcp.approx.ftz.f64` keeps the upper half of the result alone.
        Compute::Reciprocal if words.contains(&"approx") => {
            |a, _, _| (1.0 / double(a)).to_bits() & !mask(32)
        }
        Compute::Reciprocal => f!(|a, b, c| 1.0 / a),
        Compute::InverseRoot => |a, _, _| (1.0 / double(a).sqrt()).to_bits() & !mask(32),
        Compute::CopySign => f!(|a, b, c| b.copysign(a)),
        _ => return None,
    };
    Some(alu)
}

/// Numbers of 16 bits: in f64, where no sum or product of two is rounded, and then once.
macro_rules! small {
    ($name:ident, $of:ident, $to:ident) => {
        fn $name(compute: Compute) -> Option<Alu> {
            macro_rules! f {
                (|$a:ident, $b:ident, $c:ident| $value:expr) => {
                    float!($of, $to, |$a, $b, $c| $value)
                };
            }
            let alu: Alu = match compute {
                Compute::Add => f!(|a, b, c| a + b),
                Compute::Subtract => f!(|a, b, c| a - b),
                Compute::Multiply => f!(|a, b, c| a * b),
                Compute::MultiplyAdd => f!(|a, b, c| a.mul_add(b, c)),
                Compute::Least => f!(|a, b, c| a.min(b)),
                Compute::Largest => f!(|a, b, c| a.max(b)),
                Compute::Negate => |a, _, _| (a ^ 0x8000) & mask(16),
                Compute::Absolute => |a, _, _| a & 0x7fff,
                _ => return None,
            };
            Some(alu)
        }
    };
}
small!(on_halves, half, of_half);
small!(on_brains, brain, of_brain);

/// Two numbers of 16 bits in a register.
macro_rules! pairs {
    ($name:ident, $of:ident, $to:ident) => {
        fn $name(compute: Compute) -> Option<Alu> {
            macro_rules! f {
                (|$a:ident, $b:ident, $c:ident| $value:expr) => {
                    |a, b, c| {
                        let one = float!($of, $to, |$a, $b, $c| $value);
                        let one: Alu = one;
                        one(a, b, c) | one(a >> 16, b >> 16, c >> 16) << 16
                    }
                };
            }
            let alu: Alu = match compute {
                Compute::Add => f!(|a, b, c| a + b),
                Compute::Subtract => f!(|a, b, c| a - b),
                Compute::Multiply => f!(|a, b, c| a * b),
                Compute::MultiplyAdd => f!(|a, b, c| a.mul_add(b, c)),
                Compute::Least => f!(|a, b, c| a.min(b)),
                Compute::Largest => f!(|a, b, c| a.max(b)),
                Compute::Negate => |a, _, _| (a ^ 0x8000_8000) & mask(32),
                Compute::Absolute => |a, _, _| a & 0x7fff_7fff,
                _ => return None,
            };
            Some(alu)
        }
    };
}
pairs!(on_pairs, half, of_half);
pairs!(on_pairs_of_brains, brain, of_brain);

fn on_integers(it: &Instruction, compute: Compute, bits: u32, is_signed: bool) -> Option<Alu> {
    let alu: Alu = match compute {
        Compute::Add => sized!(bits, add),
        Compute::Subtract => sized!(bits, subtract),
        Compute::Multiply | Compute::MultiplyAdd if it.wide && is_signed => {
            sized!(bits, wide_signed)
        }
        Compute::Multiply | Compute::MultiplyAdd if it.wide => sized!(bits, wide),
        Compute::Multiply | Compute::MultiplyAdd if it.high && is_signed => {
            sized!(bits, high_signed)
        }
        Compute::Multiply | Compute::MultiplyAdd if it.high => sized!(bits, high),
        Compute::Multiply | Compute::MultiplyAdd => sized!(bits, low),
        Compute::Divide if is_signed => sized!(bits, divide_signed),
        Compute::Divide => sized!(bits, divide),
        Compute::Remainder if is_signed => sized!(bits, remainder_signed),
        Compute::Remainder => sized!(bits, remainder),
        Compute::ShiftLeft => sized!(bits, left),
        Compute::ShiftRight if is_signed => sized!(bits, right_signed),
        Compute::ShiftRight => sized!(bits, right),
        Compute::Least if is_signed => sized!(bits, least_signed),
        Compute::Least => sized!(bits, least),
        Compute::Largest if is_signed => sized!(bits, largest_signed),
        Compute::Largest => sized!(bits, largest),
        Compute::Negate => sized!(bits, negate),
        Compute::Absolute => sized!(bits, absolute),
        Compute::CountOnes => |a, _, _| u64::from(a.count_ones()),
        Compute::LeadingZeros if bits == 32 => |a, _, _| u64::from((a as u32).leading_zeros()),
        Compute::LeadingZeros => |a, _, _| u64::from(a.leading_zeros()),
        Compute::Extract if !is_signed => sized!(bits, extract),
        _ => return None,
    };
    Some(alu)
}

fn compare(it: &Instruction, words: &[&str]) -> Option<Alu> {
    // `setp.lt.and.s32` joins a third predicate: no kernel of ours has come to one.
    if words.len() > 3 && !words.contains(&"ftz") {
        return None;
    }
    macro_rules! of_floats {
        ($of:ident) => {
            match words[1] {
                "eq" => |a, b, _| truth($of(a) == $of(b)),
                "ne" => |a, b, _| truth(ordered($of(a).into(), $of(b).into()) && $of(a) != $of(b)),
                "lt" => |a, b, _| truth($of(a) < $of(b)),
                "le" => |a, b, _| truth($of(a) <= $of(b)),
                "gt" => |a, b, _| truth($of(a) > $of(b)),
                "ge" => |a, b, _| truth($of(a) >= $of(b)),
                "equ" => {
                    |a, b, _| truth(!ordered($of(a).into(), $of(b).into()) || $of(a) == $of(b))
                }
                "neu" => |a, b, _| truth($of(a) != $of(b)),
                "ltu" => |a, b, _| truth(!ordered($of(a).into(), $of(b).into()) || $of(a) < $of(b)),
                "leu" => {
                    |a, b, _| truth(!ordered($of(a).into(), $of(b).into()) || $of(a) <= $of(b))
                }
                "gtu" => |a, b, _| truth(!ordered($of(a).into(), $of(b).into()) || $of(a) > $of(b)),
                "geu" => {
                    |a, b, _| truth(!ordered($of(a).into(), $of(b).into()) || $of(a) >= $of(b))
                }
                "num" => |a, b, _| truth(ordered($of(a).into(), $of(b).into())),
                "nan" => |a, b, _| truth(!ordered($of(a).into(), $of(b).into())),
                _ => return None,
            }
        };
    }
    let bits = it.ty.bits();
    let is_signed = matches!(it.ty, Type::S(_));
    let alu: Alu = match it.ty {
        Type::F(32) => of_floats!(single),
        Type::F(64) => of_floats!(double),
        Type::F(16) if words.contains(&"bf16") => of_floats!(brain),
        Type::F(16) => of_floats!(half),
        Type::Pair | Type::F(_) | Type::Pred => return None,
        _ => match words[1] {
            "eq" => sized!(bits, equal),
            "ne" => sized!(bits, unequal),
            "lt" if is_signed => sized!(bits, below_signed),
            "le" if is_signed => sized!(bits, at_most_signed),
            "gt" if is_signed => sized!(bits, above_signed),
            "ge" if is_signed => sized!(bits, at_least_signed),
            "lt" | "lo" => sized!(bits, below),
            "le" | "ls" => sized!(bits, at_most),
            "gt" | "hi" => sized!(bits, above),
            "ge" | "hs" => sized!(bits, at_least),
            _ => return None,
        },
    };
    Some(alu)
}

fn ordered(a: f64, b: f64) -> bool {
    !a.is_nan() && !b.is_nan()
}
