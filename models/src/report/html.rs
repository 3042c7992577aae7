//! Text, numbers and bytes as HTML.

use super::chart;
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");

/// A whole page without outside parts. `title` is text, `lead` and `body` are HTML.
pub(crate) fn page(eyebrow: &str, title: &str, lead: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title><style>{STYLE}{}</style></head><body><main>\
         <header><p class=\"eyebrow\">{eyebrow}</p><h1>{title}</h1>{lead}</header>{body}</main></body></html>\n",
        chart::rules()
    )
}

/// `text` with the five characters HTML gives a meaning replaced, fit for elements and quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(String::from_utf8_lossy)
        .collect();
    groups.join(",")
}

/// `31234567` as `31.2 M`.
pub(crate) fn with_unit(number: u64) -> String {
    let (scale, unit) = match number {
        0..1_000 => return number.to_string(),
        1_000..1_000_000 => (1e3, "k"),
        1_000_000..1_000_000_000 => (1e6, "M"),
        _ => (1e9, "G"),
    };
    format!("{:.1}&nbsp;{unit}", number as f64 / scale)
}

/// `0.9423` as `94.23 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2}&nbsp;%", 100.0 * share)
}

/// `-0.0123` as `−1.23`, with a sign always; a difference that rounds to nothing is `0.00`.
pub(crate) fn points(difference: f64) -> String {
    let rounded = (1e4 * difference).round() / 1e2;
    match rounded {
        0.0 => "0.00".into(),
        _ if rounded < 0.0 => format!("−{:.2}", -rounded),
        _ => format!("+{rounded:.2}"),
    }
}

/// A difference with its interval as a bar, on a scale from `-reach` to `reach` around nothing.
pub(crate) fn interval_bar(difference: f64, (low, high): (f64, f64), reach: f64) -> String {
    let place = |value: f64| (50.0 + 50.0 * value / reach.max(1e-9)).clamp(0.0, 100.0);
    format!(
        "<span class=\"bar\" style=\"--a:{:.1}%;--b:{:.1}%;--m:{:.1}%\"></span>",
        place(low),
        100.0 - place(high),
        place(difference)
    )
}

/// How far from nothing the intervals of a table reach.
pub(crate) fn reach(intervals: impl Iterator<Item = (f64, f64)>) -> f64 {
    intervals.fold(0.0, |reach, (low, high)| {
        reach.max(low.abs()).max(high.abs())
    })
}

/// Milliseconds with as many digits as mean something.
pub(crate) fn milliseconds(ms: f64) -> String {
    match ms {
        x if !x.is_finite() || x < 0.0 => "–".into(),
        x if x < 10.0 => format!("{x:.2}"),
        x if x < 100.0 => format!("{x:.1}"),
        x => grouped(x.round() as u64),
    }
}

/// Joules with three digits that mean something.
pub(crate) fn joules(energy: f64) -> String {
    match energy {
        x if !x.is_finite() || x < 0.0 => "–".into(),
        x if x < 0.1 => format!("{x:.4}"),
        x if x < 10.0 => format!("{x:.3}"),
        x => format!("{x:.1}"),
    }
}

/// A speed with as many digits as mean something.
pub(crate) fn speed(images_per_s: f64) -> String {
    match images_per_s {
        x if !x.is_finite() || x < 0.0 => "–".into(),
        x if x < 100.0 => format!("{x:.1}"),
        x => grouped(x.round() as u64),
    }
}

/// A PNG as a `data:` address.
pub(crate) fn png_address(png: &[u8]) -> String {
    address("image/png", png)
}

/// Contents of a type as a `data:` address.
pub(crate) fn address(kind: &str, bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut address = format!("data:{kind};base64,");
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_usize, |bits, byte| bits << 8 | *byte as usize)
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET[bits >> (18 - 6 * place) & 63];
            address.push(if place <= chunk.len() {
                digit as char
            } else {
                '='
            });
        }
    }
    address
}

/// A table cell.
pub(crate) fn cell(into: &mut String, text: &str) {
    _ = write!(into, "<td>{text}</td>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_folder_may_be_called_leaves_its_element() {
        assert_eq!(
            escape(r#"<b a="1">&'"#),
            "&lt;b a=&quot;1&quot;&gt;&amp;&#39;"
        );
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(
            [0, 999, 1000, 78_042, 1_234_567].map(grouped),
            ["0", "999", "1,000", "78,042", "1,234,567"]
        );
        assert_eq!(
            [999, 1000, 78_042, 31_234_567, 15_470_264_320].map(with_unit),
            [
                "999",
                "1.0&nbsp;k",
                "78.0&nbsp;k",
                "31.2&nbsp;M",
                "15.5&nbsp;G"
            ]
        );
        assert_eq!(
            [0.0123, -0.0123, -0.00001].map(points),
            ["+1.23", "−1.23", "0.00"]
        );
        assert_eq!([12.34, 1234.5, f64::NAN].map(speed), ["12.3", "1,235", "–"]);
    }

    #[test]
    fn base64_agrees_with_the_vectors_of_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(
                png_address(plain.as_bytes()),
                format!("data:image/png;base64,{coded}")
            );
        }
        assert!(png_address(&[0xfb, 0xff, 0xfe]).ends_with("+//+"));
    }

    #[test]
    fn speeds_gain_digits_as_they_fall_and_no_speed_is_a_dash() {
        let texts = [0.0, 99.94, 100.0, 100.5, -1.0, f64::INFINITY].map(speed);
        assert_eq!(texts, ["0.0", "99.9", "100", "101", "–", "–"]);
    }
}
