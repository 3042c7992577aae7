/// `value` to three significant digits, without an exponent: 0.0123, 1.23, 12.3, 1234.
pub(crate) fn significant(value: f64) -> String {
    if !value.is_finite() {
        return String::new();
    }
    if value == 0.0 {
        return "0".into();
    }
    let decimals = 2 - value.abs().log10().floor() as i32;
    format!("{value:.*}", decimals.clamp(0, 9) as usize)
}

/// A ratio to two decimals; one of three digits has none.
pub(crate) fn ratio(value: f64) -> String {
    match value {
        value if !value.is_finite() => String::new(),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// An error in units of its budget, to two decimals; what is less than that is told as such.
pub(crate) fn error(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        value if value < 0.005 => "<0.01".into(),
        value => format!("{value:.2}"),
    }
}

/// A fraction in percent; below ten with one decimal.
pub(crate) fn percent(fraction: f64) -> String {
    match 100.0 * fraction {
        value if !value.is_finite() => String::new(),
        value if value < 10.0 => format!("{value:.1} %"),
        value => format!("{value:.0} %"),
    }
}

/// A working set in the largest binary unit that leaves one digit before the point.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value >= 10.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    };
    format!("{digits} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits_and_ratios_two_decimals() {
        let digits = [0.012345, 0.99951, 1.2345, 12.345, 1234.5, 0.0, f64::NAN].map(significant);
        assert_eq!(digits, ["0.0123", "1.000", "1.23", "12.3", "1234", "0", ""]);
        assert_eq!([0.606, 12.34, 123.4].map(ratio), ["0.61", "12.3", "123"]);
        assert_eq!([0.0, 1e-5, 0.312].map(error), ["0", "<0.01", "0.31"]);
        assert_eq!([0.0123, 0.5, 1.02].map(percent), ["1.2 %", "50 %", "102 %"]);
        assert_eq!(
            [512, 65_536, 1_572_864, 1 << 30].map(bytes),
            ["512 B", "64 KiB", "1.5 MiB", "1 GiB"]
        );
    }
}
