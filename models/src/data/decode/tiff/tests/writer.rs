//! Writes uncompressed TIFFs in every layout.

/// How to write an image.
#[derive(Debug, Clone)]
pub struct Spec {
    pub size: (usize, usize),
    pub bands: usize,
    pub bits: usize,
    /// 1 unsigned, 2 signed, 3 floating point.
    pub format: u16,
    pub interpretation: u16,
    pub compression: u16,
    pub predictor: u16,
    pub planar: bool,
    /// Height and width of a tile, or height of a strip and no width.
    pub chunk: (usize, Option<usize>),
    pub big_endian: bool,
    pub big: bool,
}

impl Spec {
    pub fn rgb(bands: usize, bits: usize) -> Self {
        Self {
            size: (5, 7),
            bands,
            bits,
            format: 1,
            interpretation: 2,
            compression: 1,
            predictor: 1,
            planar: false,
            chunk: (2, None),
            big_endian: false,
            big: false,
        }
    }

    fn number(&self, value: u64, length: usize) -> Vec<u8> {
        match self.big_endian {
            true => value.to_be_bytes()[8 - length..].to_vec(),
            false => value.to_le_bytes()[..length].to_vec(),
        }
    }

    /// The file's chunks, uncompressed, with `sample` (y, x, band) as bits.
    pub fn chunks(&self, sample: impl Fn(usize, usize, usize) -> u64) -> Vec<Vec<u8>> {
        let (height, width) = self.size;
        let (rows, columns) = (self.chunk.0, self.chunk.1.unwrap_or(width));
        let planes = if self.planar { self.bands } else { 1 };
        let mut chunks = Vec::new();
        for plane in 0..planes {
            for top in (0..height).step_by(rows) {
                for left in (0..width).step_by(columns) {
                    let bottom = match self.chunk.1 {
                        Some(_) => top + rows,
                        None => height.min(top + rows),
                    };
                    let row = |y: usize| {
                        let bands = if self.planar {
                            plane..plane + 1
                        } else {
                            0..self.bands
                        };
                        let samples: Vec<u64> = (left..left + columns)
                            .flat_map(|x| bands.clone().map(move |band| (x, band)))
                            .map(|(x, band)| sample(y.min(height - 1), x.min(width - 1), band))
                            .collect();
                        self.predicted(&samples, bands.len())
                    };
                    chunks.push((top..bottom).flat_map(row).collect());
                }
            }
        }
        chunks
    }

    /// A row's bytes as the predictor leaves them.
    fn predicted(&self, samples: &[u64], distance: usize) -> Vec<u8> {
        let bytes = self.bits / 8;
        let before = |i: usize| i.checked_sub(distance);
        if self.predictor == 3 {
            let of_byte = |byte: usize| samples.iter().map(move |s| (s >> (8 * byte)) as u8);
            let planes: Vec<u8> = (0..bytes).rev().flat_map(of_byte).collect();
            let difference = |i: usize| planes[i].wrapping_sub(before(i).map_or(0, |b| planes[b]));
            return (0..planes.len()).map(difference).collect();
        }
        let differs = self.predictor == 2;
        let difference = |i: usize| match before(i).filter(|_| differs) {
            Some(b) => samples[i].wrapping_sub(samples[b]),
            None => samples[i],
        };
        (0..samples.len())
            .flat_map(|i| self.number(difference(i), bytes))
            .collect()
    }

    /// A file with these chunks and `more` tags of short numbers.
    pub fn file(&self, chunks: &[Vec<u8>], more: &[(u16, Vec<u16>)]) -> Vec<u8> {
        let word = if self.big { 8 } else { 4 };
        let mut file = if self.big_endian {
            b"MM".to_vec()
        } else {
            b"II".to_vec()
        };
        file.extend(self.number(if self.big { 43 } else { 42 }, 2));
        if self.big {
            file.extend([self.number(8, 2), self.number(0, 2)].concat());
        }
        let pointer = file.len();
        file.extend(self.number(0, word));
        let mut offsets = Vec::new();
        for chunk in chunks {
            offsets.push(file.len() as u64);
            file.extend(chunk);
        }
        let lengths = chunks.iter().map(|chunk| chunk.len() as u64).collect();
        let short = |values: &[u16]| {
            (
                3u16,
                2usize,
                values.iter().map(|&v| u64::from(v)).collect::<Vec<_>>(),
            )
        };
        let long = |values: Vec<u64>| (4u16, 4usize, values);
        let bands = self.bands;
        let (height, width) = (self.size.0 as u64, self.size.1 as u64);
        let mut tags = vec![
            (256, long(vec![width])),
            (257, long(vec![height])),
            (258, short(&vec![self.bits as u16; bands])),
            (259, short(&[self.compression])),
            (262, short(&[self.interpretation])),
            (277, short(&[bands as u16])),
            (284, short(&[if self.planar { 2 } else { 1 }])),
            (317, short(&[self.predictor])),
            (339, short(&vec![self.format; bands])),
        ];
        let colours = if self.interpretation == 2 { 3 } else { 1 };
        if bands > colours && self.interpretation < 3 {
            tags.push((338, short(&vec![0; bands - colours])));
        }
        match self.chunk {
            (rows, None) => {
                tags.extend([
                    (273, long(offsets)),
                    (278, long(vec![rows as u64])),
                    (279, long(lengths)),
                ]);
            }
            (rows, Some(columns)) => tags.extend([
                (322, long(vec![columns as u64])),
                (323, long(vec![rows as u64])),
                (324, long(offsets)),
                (325, long(lengths)),
            ]),
        }
        tags.extend(more.iter().map(|(tag, values)| (*tag, short(values))));
        tags.sort_by_key(|(tag, _)| *tag);
        let mut directory = self.number(tags.len() as u64, if self.big { 8 } else { 2 });
        for (tag, (kind, bytes, values)) in tags {
            directory.extend([self.number(tag.into(), 2), self.number(kind.into(), 2)].concat());
            directory.extend(self.number(values.len() as u64, word));
            let mut contents: Vec<u8> =
                values.iter().flat_map(|&v| self.number(v, bytes)).collect();
            if contents.len() > word {
                let at = file.len() as u64;
                file.extend(contents);
                contents = self.number(at, word);
            }
            contents.resize(word, 0);
            directory.extend(contents);
        }
        directory.extend(self.number(0, word));
        let begin = self.number(file.len() as u64, word);
        file[pointer..pointer + word].copy_from_slice(&begin);
        file.extend(directory);
        file
    }
}
