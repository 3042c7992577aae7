//! Memory that remembers who touched it.

use super::fault::Other;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};

/// Bytes that are told apart: two, the smallest number of a kernel.
const GRAIN: usize = 2;

/// Some bytes, and of every two of them who wrote and who read them last. Clones are the same memory.
#[derive(Clone, Debug)]
pub struct Buffer {
    page: Arc<Page>,
    start: usize,
    len: usize,
}

#[derive(Debug)]
struct Page {
    data: Box<[AtomicU16]>,
    /// [`Who`] wrote; 0 is nobody.
    written: Box<[AtomicU64]>,
    /// Who read since.
    read: Box<[AtomicU64]>,
    fields: Fields,
}

/// Bits that are kept of each part of [`Who`]; a unit has [`UNIT`]. A number that needs more is told apart from fewer.
#[derive(Clone, Copy, Debug)]
struct Fields {
    launch: u32,
    cube: u32,
    barriers: u32,
}

/// Of what cubes and launches share: a launch of 65,536 cubes, a cube of a million barriers, before numbers come round.
const GLOBAL: Fields = Fields {
    launch: LAUNCH,
    cube: 16,
    barriers: 20,
};
/// Of what is one cube's alone, and forgotten when the next one begins.
const SHARED: Fields = Fields {
    launch: 1,
    cube: 0,
    barriers: 32,
};

/// Who is at work, as one number: the launch, its cube, the barriers behind it, its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who {
    /// Not 0.
    pub launch: u32,
    pub cube: u32,
    pub barriers: u32,
    pub unit: u32,
}

const LAUNCH: u32 = 17;
const UNIT: u32 = 11;
/// More than one cube, or unit.
const CUBES: u32 = u32::MAX;
const UNITS: u32 = (1 << UNIT) - 1;
/// Who wrote what came from the host: no launch has this number.
const HOST: u64 = 1;

impl Who {
    /// Launches have numbers from 1 to this.
    pub const LAUNCHES: u32 = (1 << LAUNCH) - 1;

    fn bits(self, fields: Fields) -> u64 {
        let part = |value: u32, bits: u32| u64::from(value) & ((1 << bits) - 1);
        // One cube's own memory knows one launch, which is not 0, as nobody is.
        let launch = if fields.launch == 1 { 1 } else { self.launch };
        let launch = part(launch, fields.launch) << fields.cube;
        let cube = (launch | part(self.cube, fields.cube)) << fields.barriers;
        (cube | part(self.barriers, fields.barriers)) << UNIT | part(self.unit, UNIT)
    }

    fn of(bits: u64, fields: Fields) -> Self {
        let part = |shift: u32, width: u32| (bits >> shift & ((1 << width) - 1)) as u32;
        Self {
            launch: part(fields.cube + fields.barriers + UNIT, fields.launch),
            cube: part(fields.barriers + UNIT, fields.cube),
            barriers: part(UNIT, fields.barriers),
            unit: part(0, UNIT),
        }
    }

    /// How it meets who was here before.
    fn meets(self, before: Self) -> Option<Conflict> {
        if before.launch != self.launch {
            None
        } else if before.cube != self.cube {
            Some(Conflict::Cubes)
        } else if before.barriers == self.barriers && before.unit != self.unit {
            Some(Conflict::Units(match before.unit {
                UNITS => Other::Several,
                unit => Other::Unit(unit),
            }))
        } else {
            None
        }
    }

    /// It and who read before it, as one.
    fn with(self, before: Self) -> Self {
        match self.meets(before) {
            Some(Conflict::Cubes) => Self {
                cube: CUBES,
                ..self
            },
            Some(Conflict::Units(_)) => Self {
                unit: UNITS,
                ..self
            },
            _ => self,
        }
    }
}

/// Why an access is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    Unwritten,
    Units(Other),
    Cubes,
}

impl Buffer {
    /// `len` bytes that nobody wrote.
    pub fn new(len: usize) -> Self {
        Self::of(len, GLOBAL)
    }

    /// A cube's own `len` bytes.
    pub(super) fn shared(len: usize) -> Self {
        Self::of(len, SHARED)
    }

    fn of(len: usize, fields: Fields) -> Self {
        let grains = len.div_ceil(GRAIN);
        let numbers = || (0..grains).map(|_| AtomicU64::new(0)).collect();
        let page = Page {
            data: (0..grains).map(|_| AtomicU16::new(0)).collect(),
            written: numbers(),
            read: numbers(),
            fields,
        };
        Self {
            page: Arc::new(page),
            start: 0,
            len,
        }
    }

    /// A part of it.
    ///
    /// # Panics
    /// It is no part of it, or starts at an odd byte.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len);
        assert!(range.start.is_multiple_of(GRAIN));
        Self {
            page: self.page.clone(),
            start: self.start + range.start,
            len: range.len(),
        }
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn grains(&self, range: Range<usize>) -> Range<usize> {
        (self.start + range.start) / GRAIN..(self.start + range.end).div_ceil(GRAIN)
    }

    /// Forgets what it holds: nobody wrote it, nobody read it.
    pub fn forget(&self) {
        for grain in self.grains(0..self.len) {
            self.page.written[grain].store(0, Relaxed);
            self.page.read[grain].store(0, Relaxed);
        }
    }

    /// What the host writes into its first bytes.
    ///
    /// # Panics
    /// There are more than it has.
    pub fn write(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.len, "{} bytes", self.len);
        for (grain, pair) in self.grains(0..bytes.len()).zip(bytes.chunks(GRAIN)) {
            let value = u16::from_le_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
            self.page.data[grain].store(value, Relaxed);
            self.page.written[grain].store(HOST, Relaxed);
        }
    }

    /// What the host reads: all bytes. Those that nobody wrote are 255, of which any floating-point number is not a number: a host may
    /// read more than it wants, as a buffer is rounded up.
    pub fn read(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len + 1);
        for grain in self.grains(0..self.len) {
            let value = match self.page.written[grain].load(Relaxed) {
                0 => u16::MAX,
                _ => self.page.data[grain].load(Relaxed),
            };
            bytes.extend(value.to_le_bytes());
        }
        bytes.truncate(self.len);
        bytes
    }

    /// The number of `bytes` bytes at `offset`, within it, read by `who`; its first conflict and where that is.
    pub(super) fn load(
        &self,
        who: Who,
        offset: usize,
        bytes: usize,
    ) -> Result<u64, (Conflict, usize)> {
        let fields = self.page.fields;
        let who = Who::of(who.bits(fields), fields);
        let mut value = 0;
        for (i, grain) in self.grains(offset..offset + bytes).enumerate() {
            let wrong = |conflict| Err((conflict, offset + i * GRAIN));
            let written = self.page.written[grain].load(Relaxed);
            if written == 0 {
                return wrong(Conflict::Unwritten);
            }
            if let Some(conflict) = who.meets(Who::of(written, fields)) {
                return wrong(conflict);
            }
            let read = self.page.read[grain].load(Relaxed);
            let now = who.with(Who::of(read, fields)).bits(fields);
            if now != read {
                self.page.read[grain].store(now, Relaxed);
            }
            value |= u64::from(self.page.data[grain].load(Relaxed)) << (16 * i);
        }
        if bytes == 1 {
            value = value >> (8 * ((self.start + offset) % GRAIN)) & 0xff;
        }
        Ok(value)
    }

    /// Writes the number `value` of `bytes` bytes at `offset`, within it.
    pub(super) fn store(
        &self,
        who: Who,
        offset: usize,
        bytes: usize,
        value: u64,
    ) -> Result<(), (Conflict, usize)> {
        let fields = self.page.fields;
        let who = Who::of(who.bits(fields), fields);
        for (i, grain) in self.grains(offset..offset + bytes).enumerate() {
            let before = self.page.data[grain].load(Relaxed);
            let mut now = (value >> (16 * i)) as u16;
            if bytes == 1 {
                let shift = 8 * ((self.start + offset) % GRAIN);
                now = before & !(0xff << shift) | (value as u16 & 0xff) << shift;
            }
            let written = self.page.written[grain].load(Relaxed);
            if now != before || written == 0 {
                let read = self.page.read[grain].load(Relaxed);
                let meets = |other: u64| who.meets(Who::of(other, fields));
                if let Some(conflict) = meets(written).or_else(|| meets(read)) {
                    return Err((conflict, offset + i * GRAIN));
                }
                self.page.data[grain].store(now, Relaxed);
            }
            self.page.written[grain].store(who.bits(fields), Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(cube: u32, barriers: u32, unit: u32) -> Who {
        Who {
            launch: 7,
            cube,
            barriers,
            unit,
        }
    }

    #[test]
    fn a_number_of_each_width_comes_back() {
        let buffer = Buffer::new(64).part(2..64);
        for (bytes, value) in [(1, 0xab), (2, 0xabcd), (4, 0x89ab_cdef), (8, u64::MAX - 5)] {
            for offset in [0, 8, 16] {
                buffer
                    .store(who(0, 0, 0), offset, bytes, value)
                    .expect("one unit");
                assert_eq!(buffer.load(who(0, 0, 0), offset, bytes), Ok(value));
            }
        }
        buffer.store(who(0, 0, 0), 1, 1, 0x12).expect("one unit");
        assert_eq!(buffer.load(who(0, 0, 0), 0, 2), Ok(0x12fa));
    }

    #[test]
    fn units_meet_between_barriers_and_cubes_always() {
        let buffer = Buffer::new(4);
        assert_eq!(
            buffer.load(who(0, 0, 0), 2, 2),
            Err((Conflict::Unwritten, 2))
        );
        buffer.write(&[1, 0, 2, 0]);
        buffer
            .load(who(0, 0, 0), 0, 2)
            .expect("readers do not meet");
        buffer
            .load(who(0, 0, 1), 0, 2)
            .expect("readers do not meet");
        buffer
            .store(who(0, 0, 2), 0, 2, 1)
            .expect("it is 1 already");
        let several = Conflict::Units(Other::Several);
        assert_eq!(buffer.store(who(0, 1, 2), 0, 2, 5), Ok(()));
        buffer.load(who(0, 2, 0), 0, 2).expect("behind a barrier");
        buffer.load(who(0, 2, 1), 0, 2).expect("behind a barrier");
        assert_eq!(buffer.store(who(0, 2, 1), 0, 2, 6), Err((several, 0)));
        assert_eq!(
            buffer.store(who(1, 9, 1), 0, 2, 6),
            Err((Conflict::Cubes, 0))
        );
        assert_eq!(buffer.load(who(1, 9, 1), 0, 2), Err((Conflict::Cubes, 0)));
        let later = Who {
            launch: 8,
            ..who(1, 0, 0)
        };
        assert_eq!(buffer.load(later, 0, 2), Ok(5));
    }

    #[test]
    fn a_reader_among_other_cubes_is_not_forgotten_when_it_reads_again() {
        let buffer = Buffer::new(2);
        buffer.write(&[1, 0]);
        for reader in [who(0, 0, 0), who(1, 0, 0), who(0, 0, 0)] {
            buffer.load(reader, 0, 2).expect("readers do not meet");
        }
        assert_eq!(
            buffer.store(who(0, 3, 0), 0, 2, 9),
            Err((Conflict::Cubes, 0))
        );
    }

    #[test]
    fn a_cubes_own_memory_counts_its_barriers() {
        let shared = Buffer::shared(2);
        let even = |barriers, unit| Who {
            launch: 8,
            ..who(3, barriers, unit)
        };
        shared.store(even(0, 0), 0, 2, 5).expect("one unit");
        assert_eq!(shared.load(even(1 << 20, 1), 0, 2), Ok(5));
        let met = Conflict::Units(Other::Unit(1));
        assert_eq!(shared.store(even(1 << 20, 0), 0, 2, 6), Err((met, 0)));
    }

    #[test]
    fn what_was_forgotten_was_never_written() {
        let buffer = Buffer::new(6);
        buffer.write(&[1; 6]);
        assert_eq!(buffer.read(), [1; 6]);
        buffer.part(4..6).forget();
        assert_eq!(buffer.read(), [1, 1, 1, 1, 255, 255]);
    }
}
