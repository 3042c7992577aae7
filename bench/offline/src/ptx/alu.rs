//! What an instruction computes, to the last bit where PTX says what that is: a function chosen once, when the instruction is read.
//!
//! The approximations of a card (`ex2.approx`, `rsqrt.approx`, ...) are within two units of its last place; here they are rounded from
//! the exact value. Denormal numbers are kept, but where an instruction says `.ftz`.

use super::instruction::{Compute, Instruction, Type};
use super::round;
use half::{bf16, f16};

/// From the bits of up to three operands to those of the result.
pub(super) type Alu = fn(u64, u64, u64) -> u64;

/// A function of 16-, 32- and 64-bit integers, for the width that an instruction has.
macro_rules! sized {
    ($bits:expr, $name:ident) => {
        match $bits {
            8 => $name::<8>,
            16 => $name::<16>,
            32 => $name::<32>,
            64 => $name::<64>,
            _ => return None,
        }
    };
}

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

fn single(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

fn double(bits: u64) -> f64 {
    f64::from_bits(bits)
}

fn half(bits: u64) -> f64 {
    f16::from_bits(bits as u16).to_f64()
}

fn brain(bits: u64) -> f64 {
    bf16::from_bits(bits as u16).to_f64()
}

fn of_single(value: f32) -> u64 {
    u64::from(value.to_bits())
}

fn of_half(value: f64) -> u64 {
    u64::from(f16::from_f64(value).to_bits())
}

fn of_brain(value: f64) -> u64 {
    u64::from(bf16::from_f64(value).to_bits())
}

/// The low `bits` of a word.
pub(super) fn mask(bits: u32) -> u64 {
    match bits {
        64.. => u64::MAX,
        _ => (1 << bits) - 1,
    }
}

fn signed(value: u64, bits: u32) -> i64 {
    let shift = 64 - bits.min(64);
    ((value << shift) as i64) >> shift
}

/// A predicate.
fn truth(holds: bool) -> u64 {
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

fn invert<const B: u32>(a: u64, _: u64, _: u64) -> u64 {
    !a & mask(B)
}

fn add<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    a.wrapping_add(b) & mask(B)
}

fn subtract<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    a.wrapping_sub(b) & mask(B)
}

/// A product without a third operand adds a register that holds 0.
fn low<const B: u32>(a: u64, b: u64, c: u64) -> u64 {
    a.wrapping_mul(b).wrapping_add(c) & mask(B)
}

fn wide<const B: u32>(a: u64, b: u64, c: u64) -> u64 {
    (a & mask(B)).wrapping_mul(b & mask(B)).wrapping_add(c) & mask(2 * B)
}

fn wide_signed<const B: u32>(a: u64, b: u64, c: u64) -> u64 {
    let product = signed(a, B).wrapping_mul(signed(b, B));
    (product as u64).wrapping_add(c) & mask(2 * B)
}

fn high<const B: u32>(a: u64, b: u64, c: u64) -> u64 {
    let product = u128::from(a & mask(B)) * u128::from(b & mask(B));
    ((product >> B) as u64).wrapping_add(c) & mask(B)
}

fn high_signed<const B: u32>(a: u64, b: u64, c: u64) -> u64 {
    let product = i128::from(signed(a, B)) * i128::from(signed(b, B));
    ((product >> B) as u64).wrapping_add(c) & mask(B)
}

/// What a card gives for a division by zero is all ones; PTX leaves it open.
fn divide<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    let (a, b) = (a & mask(B), b & mask(B));
    a.checked_div(b).unwrap_or(mask(B))
}

fn divide_signed<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    match signed(b, B) {
        0 => mask(B),
        by => signed(a, B).wrapping_div(by) as u64 & mask(B),
    }
}

fn remainder<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    let (a, b) = (a & mask(B), b & mask(B));
    a.checked_rem(b).unwrap_or(a)
}

fn remainder_signed<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    match signed(b, B) {
        0 => a & mask(B),
        by => signed(a, B).wrapping_rem(by) as u64 & mask(B),
    }
}

fn left<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    match b & mask(32) {
        by if by >= u64::from(B) => 0,
        by => (a << by) & mask(B),
    }
}

fn right<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    match b & mask(32) {
        by if by >= u64::from(B) => 0,
        by => (a & mask(B)) >> by,
    }
}

fn right_signed<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    (signed(a, B) >> (b & mask(32)).min(63)) as u64 & mask(B)
}

fn least<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    (a & mask(B)).min(b & mask(B))
}

fn largest<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    (a & mask(B)).max(b & mask(B))
}

fn least_signed<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    signed(a, B).min(signed(b, B)) as u64 & mask(B)
}

fn largest_signed<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    signed(a, B).max(signed(b, B)) as u64 & mask(B)
}

fn negate<const B: u32>(a: u64, _: u64, _: u64) -> u64 {
    a.wrapping_neg() & mask(B)
}

fn absolute<const B: u32>(a: u64, _: u64, _: u64) -> u64 {
    signed(a, B).unsigned_abs() & mask(B)
}

/// `c` bits of `a`, from bit `b` on.
fn extract<const B: u32>(a: u64, b: u64, c: u64) -> u64 {
    let (start, count) = ((b & 0xff) as u32, (c & 0xff) as u32);
    match start {
        start if start >= B => 0,
        start => ((a & mask(B)) >> start) & mask(count.min(B)),
    }
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

/// A comparison of the low bits, as they are or signed.
macro_rules! comparison {
    ($name:ident, $name_signed:ident, $operator:tt) => {
        fn $name<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
            truth((a & mask(B)) $operator (b & mask(B)))
        }

        fn $name_signed<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
            truth(signed(a, B) $operator signed(b, B))
        }
    };
}
comparison!(below, below_signed, <);
comparison!(at_most, at_most_signed, <=);
comparison!(above, above_signed, >);
comparison!(at_least, at_least_signed, >=);

fn equal<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    truth(a & mask(B) == b & mask(B))
}

fn unequal<const B: u32>(a: u64, b: u64, _: u64) -> u64 {
    truth(a & mask(B) != b & mask(B))
}

/// Between a number's formats. `cvt` names the format of its result first.
fn convert(it: &Instruction, words: &[&str]) -> Option<Alu> {
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
