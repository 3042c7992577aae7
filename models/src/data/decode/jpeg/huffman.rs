//! The bits of a scan, and the codes in them.

use super::{CUT, DAMAGED};

/// Bits that are looked up at once; longer codes are rare.
const FAST: u32 = 9;

/// A Huffman table (ITU-T T.81, annex C).
pub(super) struct Table {
    /// By the next [`FAST`] bits: length and symbol of the code they begin with; a length of 0 for longer codes.
    fast: [(u8, u8); 1 << FAST],
    /// By length, left-aligned in 16 bits: the first code that is too large to have it.
    limit: [u32; 17],
    /// By length: what to add to a code to get its place in `symbols`.
    offset: [i32; 17],
    symbols: Vec<u8>,
}

impl Table {
    /// Reads the table that `segment` begins with; also returns its bytes.
    pub(super) fn new(segment: &[u8]) -> Option<(Self, usize)> {
        let (counts, rest) = segment.split_first_chunk::<16>()?;
        let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
        let symbols = rest.get(..total)?.to_vec();
        let mut table = Self {
            fast: [(0, 0); 1 << FAST],
            limit: [0; 17],
            offset: [0; 17],
            symbols,
        };
        let (mut code, mut place) = (0u32, 0usize);
        for (length, &count) in (1u32..).zip(counts) {
            table.offset[length as usize] = place as i32 - code as i32;
            for _ in 0..count {
                if code >> length != 0 {
                    return None;
                }
                if length <= FAST {
                    let first = (code << (FAST - length)) as usize;
                    let codes = first..first + (1 << (FAST - length));
                    table.fast[codes].fill((length as u8, table.symbols[place]));
                }
                code += 1;
                place += 1;
            }
            table.limit[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Some((table, 16 + total))
    }
}

/// The entropy-coded bits from a place in a file up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, left-aligned; zeros follow.
    buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            buffer: 0,
            count: 0,
        }
    }

    /// A place at or before the marker that ends the scan, with no marker before it.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            let (byte, length) = match self.bytes.get(self.at..) {
                Some([0xFF, 0x00, ..]) => (0xFF, 2),
                Some([0xFF, ..] | []) | None => return,
                Some([byte, ..]) => (*byte, 1),
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.at += length;
        }
    }

    fn drop(&mut self, bits: u32) -> Result<(), &'static str> {
        self.count = self.count.checked_sub(bits).ok_or(CUT)?;
        self.buffer <<= bits;
        Ok(())
    }

    /// Passes over at most 16 bits.
    pub(super) fn skip(&mut self, bits: u32) -> Result<(), &'static str> {
        if self.count < bits {
            self.fill();
        }
        self.drop(bits)
    }

    /// Reads at most 16 bits as a number.
    pub(super) fn take(&mut self, bits: u32) -> Result<u32, &'static str> {
        if self.count < bits {
            self.fill();
        }
        let value = (self.buffer >> 32) as u32;
        self.drop(bits)?;
        Ok(value.checked_shr(32 - bits).unwrap_or(0))
    }

    /// The symbol of the next code.
    pub(super) fn code(&mut self, table: Option<&Table>) -> Result<u8, &'static str> {
        let table = table.ok_or(DAMAGED)?;
        if self.count < 16 {
            self.fill();
        }
        let (length, symbol) = table.fast[(self.buffer >> (64 - FAST)) as usize];
        if length > 0 {
            self.drop(length.into())?;
            return Ok(symbol);
        }
        let next = (self.buffer >> 48) as u32;
        let long = FAST as usize + 1..=16;
        let Some(length) = long.into_iter().find(|&l| next < table.limit[l]) else {
            return Err(if self.count < 16 { CUT } else { DAMAGED });
        };
        self.drop(length as u32)?;
        let code = (next >> (16 - length)) as i32;
        let place = usize::try_from(code + table.offset[length]).ok();
        place
            .and_then(|place| table.symbols.get(place).copied())
            .ok_or(DAMAGED)
    }

    /// Goes on behind the restart marker that must come next.
    pub(super) fn restart(&mut self) -> Option<()> {
        (self.buffer, self.count) = (0, 0);
        while let Some([0xFF, 0xFF, ..]) = self.bytes.get(self.at..) {
            self.at += 1;
        }
        match self.bytes.get(self.at..) {
            Some([0xFF, 0xD0..=0xD7, ..]) => {
                self.at += 2;
                Some(())
            }
            _ => None,
        }
    }
}
