//! What an instruction computes, of bits.

use super::instruction::{Compute, Instruction, Type};
use std::cmp::Ordering;

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

/// The result of `it` on `v`, in as many bits as its type has. Arithmetic of halves, and of floating point in 64 bits, comes to 0: no index
/// was ever seen to come of it.
pub(super) fn result(it: &Instruction, compute: Compute, v: [u64; 3]) -> u64 {
    let kept = match compute {
        Compute::Compare => return u64::from(holds(it, v)),
        Compute::Multiply | Compute::MultiplyAdd if it.wide => u64::MAX,
        _ => mask(it.ty.bits()),
    };
    let raw = match (compute, it.ty) {
        (Compute::Convert, _) => convert(it, v[0]),
        (Compute::Move | Compute::Shuffle, _) => v[0],
        (Compute::Select, _) => v[usize::from(v[2] == 0)],
        (Compute::And, _) => v[0] & v[1],
        (Compute::Or, _) => v[0] | v[1],
        (Compute::Xor, _) => v[0] ^ v[1],
        (Compute::Not, Type::Pred) => u64::from(v[0] == 0),
        (Compute::Not, _) => !v[0],
        (_, Type::F(32)) => float(compute, v),
        (_, Type::F(_) | Type::Pair) => 0,
        _ => integer(it, compute, v),
    };
    raw & kept
}

fn float(compute: Compute, v: [u64; 3]) -> u64 {
    let [a, b, c] = v.map(|bits| f32::from_bits(bits as u32));
    let result = match compute {
        Compute::Add => a + b,
        Compute::Subtract => a - b,
        Compute::Multiply => a * b,
        Compute::Divide => a / b,
        Compute::MultiplyAdd => a.mul_add(b, c),
        Compute::Least => a.min(b),
        Compute::Largest => a.max(b),
        Compute::Negate => -a,
        Compute::Absolute => a.abs(),
        Compute::Root => a.sqrt(),
        Compute::Reciprocal => 1.0 / a,
        Compute::Exponential => a.exp2(),
        Compute::Logarithm => a.log2(),
        _ => 0.0,
    };
    u64::from(result.to_bits())
}

fn integer(it: &Instruction, compute: Compute, v: [u64; 3]) -> u64 {
    let bits = it.ty.bits();
    let is_signed = matches!(it.ty, Type::S(_));
    let [a, b] = [v[0] & mask(bits), v[1] & mask(bits)];
    let [sa, sb] = [signed(v[0], bits), signed(v[1], bits)];
    match compute {
        Compute::ShiftLeft if b >= u64::from(bits) => 0,
        Compute::ShiftLeft => a << b,
        Compute::ShiftRight if is_signed => (sa >> (v[1] & mask(32)).min(63)) as u64,
        Compute::ShiftRight if v[1] & mask(32) >= u64::from(bits) => 0,
        Compute::ShiftRight => a >> (v[1] & mask(32)),
        Compute::Add => a.wrapping_add(b),
        Compute::Subtract => a.wrapping_sub(b),
        Compute::Multiply | Compute::MultiplyAdd => {
            let product = match is_signed {
                true => (i128::from(sa) * i128::from(sb)) as u128,
                false => u128::from(a) * u128::from(b),
            };
            let part = if it.high { product >> bits } else { product } as u64;
            let part = if it.wide { part } else { part & mask(bits) };
            match compute {
                Compute::MultiplyAdd => part.wrapping_add(v[2]),
                _ => part,
            }
        }
        Compute::Divide if b == 0 => u64::MAX,
        Compute::Remainder if b == 0 => a,
        Compute::Divide if is_signed => sa.wrapping_div(sb) as u64,
        Compute::Remainder if is_signed => sa.wrapping_rem(sb) as u64,
        Compute::Divide => a / b,
        Compute::Remainder => a % b,
        Compute::Least if is_signed => sa.min(sb) as u64,
        Compute::Largest if is_signed => sa.max(sb) as u64,
        Compute::Least => a.min(b),
        Compute::Largest => a.max(b),
        Compute::Negate => sa.wrapping_neg() as u64,
        Compute::Absolute => sa.unsigned_abs(),
        _ => 0,
    }
}

fn convert(it: &Instruction, a: u64) -> u64 {
    let f = f32::from_bits(a as u32);
    match (it.ty, it.from) {
        (Type::F(32), Type::S(bits)) => u64::from((signed(a, bits) as f32).to_bits()),
        (Type::F(32), Type::U(bits)) => u64::from(((a & mask(bits)) as f32).to_bits()),
        (Type::F(32), Type::F(32)) if it.words.iter().any(|word| word == "sat") => {
            u64::from(f.clamp(0.0, 1.0).to_bits())
        }
        (Type::F(32), Type::F(32)) => a,
        (Type::F(_) | Type::Pair, _) | (_, Type::F(16 | 64)) => 0,
        (Type::S(_), Type::F(32)) => f as i64 as u64,
        (_, Type::F(32)) => f as u64,
        (_, Type::S(bits)) => signed(a, bits) as u64,
        (_, from) => a & mask(from.bits()),
    }
}

fn holds(it: &Instruction, v: [u64; 3]) -> bool {
    let bits = it.ty.bits();
    let order = match it.ty {
        Type::F(32) => {
            let [a, b] = [v[0], v[1]].map(|bits| f32::from_bits(bits as u32));
            a.partial_cmp(&b)
        }
        // Not computed, see above: any two are the same.
        Type::F(_) | Type::Pair => Some(Ordering::Equal),
        Type::S(_) => Some(signed(v[0], bits).cmp(&signed(v[1], bits))),
        _ => Some((v[0] & mask(bits)).cmp(&(v[1] & mask(bits)))),
    };
    let is = |orders: &[Ordering]| order.is_some_and(|order| orders.contains(&order));
    let unordered = order.is_none();
    use Ordering::{Equal, Greater, Less};
    match &*it.words[1] {
        "eq" => is(&[Equal]),
        "ne" => is(&[Less, Greater]),
        "lt" | "lo" => is(&[Less]),
        "le" | "ls" => is(&[Less, Equal]),
        "gt" | "hi" => is(&[Greater]),
        "ge" | "hs" => is(&[Greater, Equal]),
        "equ" => unordered || is(&[Equal]),
        "neu" => unordered || is(&[Less, Greater]),
        "ltu" => unordered || is(&[Less]),
        "leu" => unordered || is(&[Less, Equal]),
        "gtu" => unordered || is(&[Greater]),
        "geu" => unordered || is(&[Greater, Equal]),
        "nan" => unordered,
        "num" => !unordered,
        _ => false,
    }
}
