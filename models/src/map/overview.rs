use image::RgbImage;

/// The longer side of an overview, at most.
pub(super) const SIDE: usize = 1024;

/// A scene made small: each pixel is the mean of a square of the scene's.
pub(super) struct Overview {
    scene: (usize, usize),
    /// The squares' side.
    factor: usize,
    /// Rows of the scene that are in.
    read: usize,
    /// Sums of the row of squares that is being read, red, green, blue and the pixels in it.
    sums: Vec<[u64; 4]>,
    pixels: Vec<u8>,
}

impl Overview {
    /// Of a scene of (height, width).
    pub(super) fn of(scene: (usize, usize)) -> Self {
        let factor = scene.0.max(scene.1).div_ceil(SIDE).max(1);
        Self {
            scene,
            factor,
            read: 0,
            sums: vec![[0; 4]; scene.1.div_ceil(factor)],
            pixels: Vec::new(),
        }
    }

    /// The next rows of the scene, RGB.
    pub(super) fn add(&mut self, rows: &[u8]) {
        for row in rows.chunks_exact(self.scene.1 * 3) {
            let squares = row.chunks(self.factor * 3).zip(&mut self.sums);
            for (square, sum) in squares {
                for pixel in square.as_chunks::<3>().0 {
                    for c in 0..3 {
                        sum[c] += u64::from(pixel[c]);
                    }
                    sum[3] += 1;
                }
            }
            self.read += 1;
            if self.read.is_multiple_of(self.factor) || self.read == self.scene.0 {
                for sum in &mut self.sums {
                    let count = sum[3].max(1);
                    let mean = |c: usize| ((sum[c] + count / 2) / count) as u8;
                    self.pixels.extend([mean(0), mean(1), mean(2)]);
                    *sum = [0; 4];
                }
            }
        }
    }

    /// The rows that are in, made small.
    pub(super) fn image(self) -> RgbImage {
        let width = self.sums.len();
        let height = self.pixels.len() / (width * 3);
        // A row of squares adds `width` pixels each time.
        RgbImage::from_vec(width as u32, height as u32, self.pixels).unwrap_or_default()
    }
}
