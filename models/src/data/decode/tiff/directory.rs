//! The one entry of a TIFF's first directory that is changed before it is decoded.

/// PhotometricInterpretation, what the samples mean.
const INTERPRETATION: u64 = 262;
/// Its value for grey with 0 as black.
const BLACK_IS_ZERO: u8 = 1;

/// Reads a TIFF's numbers in its byte order.
struct Numbers<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Numbers<'_> {
    /// The number of `length` bytes at `at`.
    fn at(&self, at: usize, length: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(length)?)?;
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self.big_endian {
            true => bytes.iter().fold(0, join),
            false => bytes.iter().rev().fold(0, join),
        })
    }
}

/// Sets the interpretation of the first image to grey. `None` if the entry is not where the format puts it.
pub(super) fn call_grey(bytes: &mut [u8]) -> Option<()> {
    let numbers = Numbers {
        bytes,
        big_endian: bytes.starts_with(b"MM"),
    };
    // Bytes of an offset, of the number of entries, of an entry, and of what stands before an entry's value.
    let (offset, count, entry, value) = match numbers.at(2, 2)? {
        43 => (8, 8, 20, 12),
        _ => (4, 2, 12, 8),
    };
    let begin = usize::try_from(numbers.at(if offset == 8 { 8 } else { 4 }, offset)?).ok()?;
    let entries = usize::try_from(numbers.at(begin, count)?).ok()?;
    let place = (0..entries)
        .map_while(|i| begin.checked_add(count + i * entry))
        .take_while(|&place| place < bytes.len())
        .find(|&place| numbers.at(place, 2) == Some(INTERPRETATION))?;
    // A short number in two bytes or, as some write it, a long one in four.
    let length = if numbers.at(place + 2, 2)? == 4 { 4 } else { 2 };
    let least = if numbers.big_endian { length - 1 } else { 0 };
    let field = bytes.get_mut(place + value..place + value + length)?;
    field.fill(0);
    field[least] = BLACK_IS_ZERO;
    Some(())
}
