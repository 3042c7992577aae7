//! Whether the scans of a JPEG are whole: where data are missing, decoders paint grey and report success, even when an end marker
//! was put behind the part that is left.
//!
//! The walk reads every Huffman code and passes over the bits that belong to it, as ITU-T T.81 orders them (annex F for sequential, annex G
//! for progressive scans), but computes no pixel. Of the coefficients it remembers which are not zero: a refining scan holds one
//! bit for each of those.
//!
//! Of a progressive file whose last scans are missing every pixel is there, but coarse. Encoders send each coefficient down to its last bit,
//! so that one that never came so far tells of a cut; libjpeg accepts such a file.

mod huffman;

use ghostlight_kernels::planted;
use huffman::{Bits, Table};

const CUT: &str = "the file is cut short: its data end before its last pixel";
const COARSE: &str =
    "the file is cut short: a progressive image without the scans that bring its last details";
const DAMAGED: &str = "the file is damaged: its data hold a code that its tables lack";
const HEADER: &str = "the file is damaged: a header segment does not make sense";

/// More bits than a coefficient has.
const NOTHING_YET: u8 = u8::MAX;

const START_OF_SCAN: u8 = 0xDA;
const END_OF_IMAGE: u8 = 0xD9;

/// Refuses a JPEG whose scans, up to the first end marker, do not hold every block of the image.
pub(super) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    let mut at = 2;
    let mut tables = Tables::default();
    let mut frame: Option<Frame> = None;
    loop {
        let marker = next_marker(bytes, &mut at).ok_or(CUT)?;
        if marker == END_OF_IMAGE {
            return frame.ok_or(CUT)?.check();
        }
        if matches!(marker, 0x01 | 0xD0..=0xD8) {
            continue;
        }
        let segment = segment(bytes, &mut at).ok_or(CUT)?;
        match marker {
            0xC0..=0xC2 => frame = Some(Frame::new(segment, marker == 0xC2).ok_or(HEADER)?),
            0xC4 => tables.define(segment).ok_or(HEADER)?,
            // Lossless, hierarchical and arithmetic coding, which the decoder refuses by name.
            0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => return Ok(()),
            0xDD => tables.restart = segment.first_chunk().map_or(0, |b| u16::from_be_bytes(*b)),
            START_OF_SCAN => {
                let frame = frame.as_mut().ok_or(HEADER)?;
                let mut bits = Bits::new(bytes, at);
                Scan::new(segment, frame, &tables)
                    .ok_or(HEADER)?
                    .walk(frame, &mut bits)?;
                at = bits.at();
            }
            _ => {}
        }
    }
}

/// The next marker at or behind `at`, which moves behind it. Stuffed and fill bytes are no markers.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        let rest = bytes.get(*at..)?;
        *at += rest.iter().position(|&byte| byte == 0xFF)? + 1;
        match *bytes.get(*at)? {
            0x00 | 0xFF => {}
            marker => {
                *at += 1;
                return Some(marker);
            }
        }
    }
}

/// The contents of the segment whose length stands at `at`, which moves behind it.
fn segment<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let length = usize::from(u16::from_be_bytes(*bytes.get(*at..)?.first_chunk()?));
    let contents = bytes.get(*at + 2..*at + length)?;
    *at += length;
    Some(contents)
}

/// What DHT and DRI segments define.
#[derive(Default)]
struct Tables {
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
    /// MCUs between restart markers; 0 for none.
    restart: u16,
}

impl Tables {
    fn define(&mut self, mut segment: &[u8]) -> Option<()> {
        while let [kind, rest @ ..] = segment {
            let (table, length) = Table::new(rest)?;
            let tables = if kind >> 4 == 0 {
                &mut self.dc
            } else {
                &mut self.ac
            };
            *tables.get_mut(usize::from(kind & 15))? = Some(table);
            segment = &rest[length..];
        }
        Some(())
    }
}

struct Component {
    id: u8,
    /// Blocks of an MCU, across and down.
    sampling: (usize, usize),
    /// Blocks that a scan of this component alone holds, across and down.
    blocks: (usize, usize),
    /// Blocks across with those that fill up the last MCU.
    stride: usize,
    /// Which coefficients of each block are not zero; empty for a sequential frame.
    nonzero: Vec<u64>,
    /// Of each coefficient, how many of its last bits no scan has brought yet.
    missing: [u8; 64],
}

struct Frame {
    progressive: bool,
    /// MCUs across and down.
    mcus: (usize, usize),
    components: Vec<Component>,
}

impl Frame {
    fn new(segment: &[u8], progressive: bool) -> Option<Self> {
        let [_precision, h0, h1, w0, w1, count, rest @ ..] = segment else {
            return None;
        };
        let side = |high: &u8, low: &u8| usize::from(u16::from_be_bytes([*high, *low]));
        let (height, width) = (side(h0, h1), side(w0, w1));
        let specs = rest.as_chunks::<3>().0.get(..usize::from(*count))?;
        let sampling = |spec: &[u8; 3]| (usize::from(spec[1] >> 4), usize::from(spec[1] & 15));
        let widest = specs.iter().map(|s| sampling(s).0).max()?;
        let tallest = specs.iter().map(|s| sampling(s).1).max()?;
        if height == 0
            || width == 0
            || specs
                .iter()
                .any(|s| sampling(s).0 == 0 || sampling(s).1 == 0)
        {
            return None;
        }
        let mcus = (width.div_ceil(8 * widest), height.div_ceil(8 * tallest));
        let component = |spec: &[u8; 3]| {
            let (across, down) = sampling(spec);
            let stride = mcus.0 * across;
            let blocks = if progressive {
                stride * mcus.1 * down
            } else {
                0
            };
            Component {
                id: spec[0],
                sampling: (across, down),
                blocks: (
                    (width * across).div_ceil(8 * widest),
                    (height * down).div_ceil(8 * tallest),
                ),
                stride,
                nonzero: vec![0; blocks],
                missing: [NOTHING_YET; 64],
            }
        };
        let components = specs.iter().map(component).collect();
        Some(Self {
            progressive,
            mcus,
            components,
        })
    }

    /// Whether the scans so far have brought all of the image.
    fn check(&self) -> Result<(), &'static str> {
        let missing = || self.components.iter().map(|component| component.missing);
        let coarse = || missing().flatten().any(|bits| bits > 0);
        if missing().any(|missing| missing[0] == NOTHING_YET) {
            Err(CUT)
        } else if coarse() && !planted::is("scans_left_out") {
            Err(COARSE)
        } else {
            Ok(())
        }
    }
}

/// One scan: which components it holds, and how.
struct Scan<'a> {
    /// Component, DC table, AC table.
    parts: Vec<(usize, Option<&'a Table>, Option<&'a Table>)>,
    /// First and last coefficient of a progressive scan.
    band: (u32, u32),
    /// A progressive scan that adds one bit to what earlier ones brought.
    refines: bool,
    /// How many bits of its coefficients are left to later scans.
    leaves: u8,
    restart: usize,
    /// Blocks still to come whose coefficients are all as they were.
    end_run: u32,
}

impl<'a> Scan<'a> {
    fn new(segment: &[u8], frame: &Frame, tables: &'a Tables) -> Option<Self> {
        let (&count, rest) = segment.split_first()?;
        let (parts, rest) = rest.split_at_checked(2 * usize::from(count))?;
        let &[first, last, bits] = rest.first_chunk()?;
        let part = |&[id, table]: &[u8; 2]| {
            let component = frame.components.iter().position(|c| c.id == id)?;
            let dc = tables.dc.get(usize::from(table >> 4))?.as_ref();
            Some((
                component,
                dc,
                tables.ac.get(usize::from(table & 15))?.as_ref(),
            ))
        };
        let parts: Vec<_> = parts
            .as_chunks()
            .0
            .iter()
            .map(part)
            .collect::<Option<_>>()?;
        let band = match frame.progressive {
            true => (u32::from(first), u32::from(last)),
            false => (0, 63),
        };
        let fits = band.0 <= band.1 && band.1 < 64 && !parts.is_empty();
        let alone = !frame.progressive || band.0 == 0 || parts.len() == 1;
        (fits && alone).then_some(Self {
            parts,
            band,
            refines: frame.progressive && bits >> 4 != 0,
            leaves: if frame.progressive { bits & 15 } else { 0 },
            restart: usize::from(tables.restart),
            end_run: 0,
        })
    }

    fn walk(mut self, frame: &mut Frame, bits: &mut Bits) -> Result<(), &'static str> {
        let interleaved = self.parts.len() > 1;
        let (across, down) = match interleaved {
            true => frame.mcus,
            false => frame.components[self.parts[0].0].blocks,
        };
        for mcu in 0..across * down {
            if self.restart > 0 && mcu > 0 && mcu % self.restart == 0 {
                bits.restart().ok_or(CUT)?;
                self.end_run = 0;
            }
            let (x, y) = (mcu % across, mcu / across);
            for part in 0..self.parts.len() {
                let (component, dc, ac) = self.parts[part];
                let component = &mut frame.components[component];
                let (h, v) = if interleaved {
                    component.sampling
                } else {
                    (1, 1)
                };
                for block in 0..h * v {
                    let place = (y * v + block / h) * component.stride + x * h + block % h;
                    let nonzero = component.nonzero.get_mut(place);
                    match nonzero {
                        Some(nonzero) => self.progressive_block(bits, dc, ac, nonzero)?,
                        None => sequential_block(bits, dc, ac)?,
                    }
                }
            }
        }
        for (component, ..) in &self.parts {
            let (first, last) = (self.band.0 as usize, self.band.1 as usize);
            frame.components[*component].missing[first..=last].fill(self.leaves);
        }
        Ok(())
    }

    fn progressive_block(
        &mut self,
        bits: &mut Bits,
        dc: Option<&Table>,
        ac: Option<&Table>,
        nonzero: &mut u64,
    ) -> Result<(), &'static str> {
        match (self.band.0, self.refines) {
            (0, true) => bits.skip(1),
            (0, false) => {
                let length = bits.code(dc)?;
                bits.skip(length.into())
            }
            (_, false) => self.first_band(bits, ac, nonzero),
            (_, true) => self.refined_band(bits, ac, nonzero),
        }
    }

    /// T.81 G.1.2.2.
    fn first_band(
        &mut self,
        bits: &mut Bits,
        ac: Option<&Table>,
        nonzero: &mut u64,
    ) -> Result<(), &'static str> {
        if self.end_run > 0 {
            self.end_run -= 1;
            return Ok(());
        }
        let mut k = self.band.0;
        while k <= self.band.1 {
            let code = bits.code(ac)?;
            match (u32::from(code >> 4), u32::from(code & 15)) {
                (15, 0) => k += 16,
                (run, 0) => {
                    self.end_run = (1 << run) - 1 + bits.take(run)?;
                    return Ok(());
                }
                (run, length) => {
                    k += run;
                    if k > self.band.1 {
                        return Err(DAMAGED);
                    }
                    bits.skip(length)?;
                    *nonzero |= 1 << k;
                    k += 1;
                }
            }
        }
        Ok(())
    }

    /// T.81 G.1.2.3.
    fn refined_band(
        &mut self,
        bits: &mut Bits,
        ac: Option<&Table>,
        nonzero: &mut u64,
    ) -> Result<(), &'static str> {
        let mut k = self.band.0;
        while self.end_run == 0 && k <= self.band.1 {
            let code = bits.code(ac)?;
            let (mut run, length) = (u32::from(code >> 4), code & 15);
            if length == 0 && run < 15 {
                self.end_run = (1 << run) + bits.take(run)?;
                break;
            }
            // The sign of a coefficient that is new.
            bits.skip(u32::from(length > 0))?;
            while k <= self.band.1 {
                if *nonzero >> k & 1 == 1 {
                    bits.skip(1)?;
                } else if run == 0 {
                    break;
                } else {
                    run -= 1;
                }
                k += 1;
            }
            if length > 0 {
                if k > self.band.1 {
                    return Err(DAMAGED);
                }
                *nonzero |= 1 << k;
            }
            k += 1;
        }
        if self.end_run > 0 {
            let left = (k..=self.band.1).filter(|k| *nonzero >> k & 1 == 1).count();
            (0..left).try_for_each(|_| bits.skip(1))?;
            self.end_run -= 1;
        }
        Ok(())
    }
}

/// T.81 F.1.2.
fn sequential_block(
    bits: &mut Bits,
    dc: Option<&Table>,
    ac: Option<&Table>,
) -> Result<(), &'static str> {
    let length = bits.code(dc)?;
    bits.skip(length.into())?;
    let mut k = 1;
    while k < 64 {
        let code = bits.code(ac)?;
        match (u32::from(code >> 4), u32::from(code & 15)) {
            (15, 0) => k += 16,
            (_, 0) => return Ok(()),
            (run, length) => {
                k += run + 1;
                bits.skip(length)?;
            }
        }
    }
    if k > 64 { Err(DAMAGED) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
