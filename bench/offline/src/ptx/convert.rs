//! Conversions between formats of numbers.

use super::alu::{Alu, brain, double, half, mask, of_brain, of_half, of_single, signed, single};
use super::instruction::{Instruction, Type};

/// Between a number's formats. `cvt` names the format of its result first.
pub(super) fn convert(it: &Instruction, words: &[&str]) -> Option<Alu> {
    let formats: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| Type::of(word).is_some())
        .collect();
    let [to, from] = formats[..] else {
        return None;
    };
    let has = |word: &str| words.contains(&word);
    if has("ftz") || has("sat") && (to, from) != ("f32", "f32") {
        return None;
    }
    let alu: Alu = match (to, from) {
        ("f32", "f32") if has("sat") => |a, _, _| {
            let value = single(a);
            of_single(if value.is_nan() {
                0.0
            } else {
                value.clamp(0.0, 1.0)
            })
        },
        ("f32", "f32") if has("rmi") => |a, _, _| of_single(single(a).floor()),
        ("f32", "f32") if has("rpi") => |a, _, _| of_single(single(a).ceil()),
        ("f32", "f32") if has("rzi") => |a, _, _| of_single(single(a).trunc()),
        ("f32", "f32") if has("rni") => |a, _, _| of_single(single(a).round_ties_even()),
        ("f64", "f64") if has("rmi") => |a, _, _| double(a).floor().to_bits(),
        ("f64", "f64") if has("rpi") => |a, _, _| double(a).ceil().to_bits(),
        ("f64", "f64") if has("rzi") => |a, _, _| double(a).trunc().to_bits(),
        ("f64", "f64") if has("rni") => |a, _, _| double(a).round_ties_even().to_bits(),
        ("f64", "f32") => |a, _, _| f64::from(single(a)).to_bits(),
        ("f32", "f64") => |a, _, _| of_single(double(a) as f32),
        ("f32", "f16") => |a, _, _| of_single(half(a) as f32),
        ("f32", "bf16") => |a, _, _| of_single(brain(a) as f32),
        ("f64", "f16") => |a, _, _| half(a).to_bits(),
        ("f16", "f32") => |a, _, _| of_half(f64::from(single(a))),
        ("bf16", "f32") => |a, _, _| of_brain(f64::from(single(a))),
        ("f16", "f64") => |a, _, _| of_half(double(a)),
        ("f16x2", "f32") => {
            |a, b, _| of_half(f64::from(single(a))) << 16 | of_half(f64::from(single(b)))
        }
        ("bf16x2", "f32") => {
            |a, b, _| of_brain(f64::from(single(a))) << 16 | of_brain(f64::from(single(b)))
        }
        ("f32", _) => match it.from {
            Type::S(bits) => sized!(bits, single_of_signed),
            Type::U(bits) => sized!(bits, single_of),
            _ => return None,
        },
        ("f64", _) => match it.from {
            Type::S(bits) => sized!(bits, double_of_signed),
            Type::U(bits) => sized!(bits, double_of),
            _ => return None,
        },
        (_, "f32" | "f64") => {
            return integer_of(it, from, &has);
        }
        _ => match (it.from, it.ty.bits()) {
            (Type::S(from), to) => return extended(from, to),
            (from, to) => match from.bits().min(to) {
                8 => |a, _, _| a & mask(8),
                16 => |a, _, _| a & mask(16),
                32 => |a, _, _| a & mask(32),
                64 => |a, _, _| a,
                _ => return None,
            },
        },
    };
    Some(alu)
}

fn single_of<const B: u32>(a: u64, _: u64, _: u64) -> u64 {
    of_single((a & mask(B)) as f32)
}

fn single_of_signed<const B: u32>(a: u64, _: u64, _: u64) -> u64 {
    of_single(signed(a, B) as f32)
}

fn double_of<const B: u32>(a: u64, _: u64, _: u64) -> u64 {
    ((a & mask(B)) as f64).to_bits()
}

fn double_of_signed<const B: u32>(a: u64, _: u64, _: u64) -> u64 {
    (signed(a, B) as f64).to_bits()
}

/// A signed integer of `from` bits in `to`.
fn extended(from: u32, to: u32) -> Option<Alu> {
    let alu: Alu = match (from, to) {
        (8, 16) => |a, _, _| signed(a, 8) as u64 & mask(16),
        (8, 32) => |a, _, _| signed(a, 8) as u64 & mask(32),
        (16, 32) => |a, _, _| signed(a, 16) as u64 & mask(32),
        (16, 64) => |a, _, _| signed(a, 16) as u64,
        (32, 64) => |a, _, _| signed(a, 32) as u64,
        (64, 32) => |a, _, _| a & mask(32),
        (32 | 64, 16) => |a, _, _| a & mask(16),
        _ => return None,
    };
    Some(alu)
}

/// Floating point to an integer: past its range the nearest there is, and 0 of what is no number.
fn integer_of(it: &Instruction, from: &str, has: &dyn Fn(&str) -> bool) -> Option<Alu> {
    macro_rules! by {
        ($rounding:path) => {
            match (from, it.ty) {
                ("f32", Type::S(32)) => {
                    |a, _, _| $rounding(f64::from(single(a))) as i32 as u32 as u64
                }
                ("f32", Type::U(32)) => |a, _, _| $rounding(f64::from(single(a))) as u32 as u64,
                ("f32", Type::S(64)) => |a, _, _| $rounding(f64::from(single(a))) as i64 as u64,
                ("f32", Type::U(64)) => |a, _, _| $rounding(f64::from(single(a))) as u64,
                ("f64", Type::S(32)) => |a, _, _| $rounding(double(a)) as i32 as u32 as u64,
                ("f64", Type::U(32)) => |a, _, _| $rounding(double(a)) as u32 as u64,
                ("f64", Type::S(64)) => |a, _, _| $rounding(double(a)) as i64 as u64,
                ("f64", Type::U(64)) => |a, _, _| $rounding(double(a)) as u64,
                _ => return None,
            }
        };
    }
    let alu: Alu = match () {
        () if has("rzi") => by!(f64::trunc),
        () if has("rni") => by!(f64::round_ties_even),
        () if has("rmi") => by!(f64::floor),
        () if has("rpi") => by!(f64::ceil),
        () => return None,
    };
    Some(alu)
}
