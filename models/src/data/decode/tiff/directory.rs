//! The one entry of a TIFF's first directory that the decoder is to see otherwise than it lies in the file.

use std::io::{self, Read, Seek, SeekFrom};

/// PhotometricInterpretation, what the samples mean.
const INTERPRETATION: u64 = 262;
/// Its value for grey with 0 as black.
const BLACK_IS_ZERO: u8 = 1;

/// A TIFF whose first image says that its samples are grey, whatever they are.
#[derive(Debug)]
pub(super) struct CalledGrey<R> {
    file: R,
    position: u64,
    /// Where the interpretation's value lies.
    begin: u64,
    /// What is read there.
    value: Vec<u8>,
}

impl<R: Read + Seek> CalledGrey<R> {
    /// `None` if the entry is not where the format puts it.
    pub(super) fn new(mut file: R) -> Option<Self> {
        let (begin, length, big_endian) = find(&mut file)?;
        let mut value = vec![0; length];
        value[if big_endian { length - 1 } else { 0 }] = BLACK_IS_ZERO;
        Some(Self {
            position: file.seek(SeekFrom::Start(0)).ok()?,
            file,
            begin,
            value,
        })
    }
}

impl<R: Read> Read for CalledGrey<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        for (place, byte) in (self.begin..).zip(&self.value) {
            let offset = place.checked_sub(self.position);
            let offset = offset.and_then(|offset| usize::try_from(offset).ok());
            if let Some(read) = offset.and_then(|offset| into[..count].get_mut(offset)) {
                *read = *byte;
            }
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl<R: Seek> Seek for CalledGrey<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = self.file.seek(to)?;
        Ok(self.position)
    }
}

/// Where the value of the first image's interpretation begins, how many bytes it has, and whether its most significant one comes first.
fn find(file: &mut (impl Read + Seek)) -> Option<(u64, usize, bool)> {
    let mut start = [0; 16];
    file.seek(SeekFrom::Start(0)).ok()?;
    file.read_exact(&mut start[..8]).ok()?;
    let big_endian = start.starts_with(b"MM");
    let number = |bytes: &[u8]| {
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match big_endian {
            true => bytes.iter().fold(0, join),
            false => bytes.iter().rev().fold(0, join),
        }
    };
    // Bytes of the number of entries, of an entry, and of what stands before an entry's value.
    let big = number(&start[2..4]) == 43;
    let (count, entry, value) = if big { (8, 20, 12) } else { (2, 12, 8) };
    let begin = if big {
        file.read_exact(&mut start[8..]).ok()?;
        number(&start[8..])
    } else {
        number(&start[4..8])
    };
    file.seek(SeekFrom::Start(begin)).ok()?;
    let mut head = [0; 20];
    file.read_exact(&mut head[..count]).ok()?;
    let entries = number(&head[..count]);
    for i in 0..entries {
        file.read_exact(&mut head[..entry]).ok()?;
        if number(&head[..2]) == INTERPRETATION {
            // A short number in two bytes or, as some write it, a long one in four.
            let length = if number(&head[2..4]) == 4 { 4 } else { 2 };
            let place = (count + value) as u64 + i * entry as u64;
            return Some((begin.checked_add(place)?, length, big_endian));
        }
    }
    None
}
