//! Scenes whose classes are known, seen by classifiers that read them off the pixels.

use super::*;
use crate::data::DataError;
use crate::data::stop::NEVER;
use ghostlight_tests::cases;
use image::{ImageBuffer, Rgb};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use tempfile::TempDir;

/// Says that a tile is of the class that its middle pixel's red is, and remembers what it was shown.
struct ByRed {
    classes: usize,
    tile: (usize, usize),
    seen: Vec<Vec<u8>>,
}

impl ByRed {
    fn new(classes: usize, grid: Grid) -> Self {
        Self {
            classes,
            tile: (grid.down.tile, grid.across.tile),
            seen: Vec::new(),
        }
    }
}

impl Classifier for ByRed {
    fn classes(&self) -> usize {
        self.classes
    }

    fn batch(&self) -> usize {
        3
    }

    fn probabilities(&mut self, tiles: &[u8]) -> Result<Vec<f32>, MapError> {
        let (height, width) = self.tile;
        let mut all = Vec::new();
        for tile in tiles.chunks_exact(height * width * 3) {
            let red = tile[(height / 2 * width + width / 2) * 3];
            let mut row = vec![0.2 / self.classes as f32; self.classes];
            row[usize::from(red) % self.classes] += 0.8;
            all.extend(row);
            self.seen.push(tile.to_vec());
        }
        Ok(all)
    }
}

/// A scene in a file of its own.
struct Saved {
    _folder: TempDir,
    path: PathBuf,
}

impl Saved {
    fn new(image: &RgbImage, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        image.save(&path).unwrap();
        Self {
            _folder: folder,
            path,
        }
    }
}

fn options(blend: bool) -> Options<'static> {
    Options {
        blend,
        stretch: None,
        stop: &NEVER,
        progress: &|_| (),
    }
}

fn textured(height: usize, width: usize) -> RgbImage {
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        Rgb([x * 7 + y * 13, x * y, x + 3 * y].map(|value| (value % 251) as u8))
    })
}

/// A scene, a tile that has room in it, and an overlap.
fn layout() -> impl Strategy<Value = (usize, usize, usize, usize)> {
    (1usize..9).prop_flat_map(|tile| (tile..40, tile..40, Just(tile), 0..tile))
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn tiles_are_the_scenes_own_pixels_in_whatever_pieces_it_is_read(
        (height, width, tile, overlap) in layout(),
        name in prop::sample::select(vec!["a.png", "a.tif", "a.bmp"]),
    ) {
        let image = textured(height, width);
        let saved = Saved::new(&image, name);
        let mut scene = Scene::open(&saved.path).unwrap();
        let grid = Grid::new(scene.size(), (tile, tile), overlap).unwrap();
        let mut classifier = ByRed::new(5, grid);
        let map = classify(&mut scene, grid, &mut classifier, &options(false)).unwrap();
        prop_assert_eq!(classifier.seen.len(), grid.cells());
        for (cell, (seen, value)) in classifier.seen.iter().zip(&map.values).enumerate() {
            let (row, column) = (cell / grid.across.cells(), cell % grid.across.cells());
            let (rows, columns) = (grid.down.tile(row), grid.across.tile(column));
            let cut = image::imageops::crop_imm(
                &image, columns.start as u32, rows.start as u32, tile as u32, tile as u32);
            prop_assert_eq!(seen, &cut.to_image().into_raw());
            let red = seen[(tile / 2 * tile + tile / 2) * 3];
            prop_assert_eq!(*value, red % 5 + 1);
        }
        prop_assert!(map.confidence.iter().all(|&sure| sure == 214));
        prop_assert_eq!(map.overview, image);
    }

    #[test]
    fn every_pixel_has_a_cell_whose_tile_lies_around_it_and_in_the_scene((height, _, tile, overlap) in layout()) {
        let axis = Axis { scene: height, tile, cell: tile - overlap };
        let mut end = 0;
        for i in 0..axis.cells() {
            let (cell, tile) = (axis.cell(i), axis.tile(i));
            prop_assert_eq!(cell.start, end);
            end = cell.end;
            prop_assert!(tile.start <= cell.start && cell.end <= tile.end && tile.end <= height);
            prop_assert_eq!(tile.len(), axis.tile);
            // In the middle where there is room.
            let (before, after) = (cell.start - tile.start, tile.end - cell.end);
            let at_edge = tile.start == 0 || tile.end == height;
            prop_assert!(at_edge || after - before <= 1);
        }
        prop_assert_eq!(end, height);
    }

    #[test]
    fn blended_probabilities_are_the_means_over_all_pixels_of_all_tiles(
        (height, width, tile, overlap) in layout(),
        numbers in prop::collection::vec(0u8..=8, 1600),
    ) {
        let grid = Grid::new((height, width), (tile, tile), overlap).unwrap();
        let (rows, columns) = (grid.down.cells(), grid.across.cells());
        // 8 stands for a tile whose cell has no data.
        let number = |row: usize, column: usize| numbers[(row * columns + column) % numbers.len()];
        let answer = |row, column| match number(row, column) {
            8 => None,
            n => Some(vec![f32::from(n) / 8.0, 1.0 - f32::from(n) / 8.0]),
        };
        let mut sums = vec![(0.0, 0.0); height * width];
        for row in 0..rows {
            for column in 0..columns {
                let Some(p) = answer(row, column) else { continue };
                for y in grid.down.tile(row) {
                    for x in grid.across.tile(column) {
                        sums[y * width + x].0 += f64::from(p[0]);
                        sums[y * width + x].1 += 1.0;
                    }
                }
            }
        }
        let mut blend = Blend::new(grid, 2, true);
        let found: Vec<_> = (0..rows)
            .flat_map(|row| blend.add((0..columns).map(|column| answer(row, column)).collect()))
            .collect();
        prop_assert_eq!(found.len(), rows * columns);
        for (cell, found) in found.iter().enumerate() {
            let (row, column) = (cell / columns, cell % columns);
            let Some(found) = found else {
                prop_assert_eq!(number(row, column), 8);
                continue;
            };
            let (mut sum, mut total) = (0.0, 0.0);
            for y in grid.down.cell(row) {
                for x in grid.across.cell(column) {
                    sum += sums[y * width + x].0;
                    total += sums[y * width + x].1;
                }
            }
            prop_assert!((f64::from(found[0]) - sum / total).abs() < 1e-6);
            prop_assert!((found[0] + found[1] - 1.0).abs() < 1e-6);
        }
    }
}

#[test]
fn tiles_that_share_half_blend_as_by_hand() {
    // Tiles of 4 pixels begin at 0, 1, 3 and 4 of 8; cells have 2.
    let grid = Grid::new((4, 8), (4, 4), 2).unwrap();
    let starts: Vec<_> = (0..4).map(|i| grid.across.tile(i).start).collect();
    assert_eq!(starts, [0, 1, 3, 4]);
    let mut blend = Blend::new(grid, 2, true);
    let tiles = || {
        [1.0, 0.0, 1.0, 0.0]
            .map(|p| Some(vec![p, 1.0 - p]))
            .to_vec()
    };
    // The second row of tiles covers the first row of cells too.
    assert!(blend.add(tiles()).is_empty());
    let cells = blend.add(tiles());
    let wanted = [2.0 / 3.0, 3.0 / 5.0, 2.0 / 5.0, 1.0 / 3.0];
    assert_eq!(cells.len(), 8);
    for (cell, wanted) in cells.iter().zip(wanted.iter().cycle()) {
        let p = cell.as_ref().unwrap()[0];
        assert!((p - wanted).abs() < 1e-6, "{cells:?}");
    }
}

#[test]
fn blending_removes_what_a_single_tile_sees_otherwise() {
    let speck = |x, y| Rgb([u8::from((x, y) == (18, 18)), 0, 0]);
    let saved = Saved::new(&RgbImage::from_fn(40, 40, speck), "a.png");
    let map = |blend| {
        let mut scene = Scene::open(&saved.path).unwrap();
        let grid = Grid::new(scene.size(), (8, 8), 4).unwrap();
        let mut classifier = ByRed::new(2, grid);
        classify(&mut scene, grid, &mut classifier, &options(blend)).unwrap()
    };
    let specks = |map: &Map| map.values.iter().filter(|&&value| value == 2).count();
    assert_eq!((specks(&map(false)), specks(&map(true))), (1, 0));
}

#[test]
fn shares_are_of_the_area_and_the_cut_cells_count_for_what_is_left_of_them() {
    let grid = Grid::new((10, 10), (8, 8), 0).unwrap();
    let map = Map {
        grid,
        classes: 2,
        values: vec![1, 2, 0, 2],
        confidence: vec![255; 4],
        overview: RgbImage::new(1, 1),
    };
    assert_eq!(map.shares(), [0.16, 0.64, 0.2]);
}

#[test]
fn where_nothing_was_measured_no_class_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    let mut samples = vec![1f32; 16 * 16 * 3];
    for pixel in (0..16 * 16).filter(|pixel| pixel % 16 < 8 && pixel / 16 < 8) {
        samples[pixel * 3..][..3].fill(f32::NAN);
    }
    let image = ImageBuffer::<Rgb<f32>, _>::from_vec(16, 16, samples).unwrap();
    image::DynamicImage::from(image).save(&path).unwrap();
    let mut scene = Scene::open(&path).unwrap();
    let grid = Grid::new(scene.size(), (8, 8), 0).unwrap();
    let mut classifier = ByRed::new(2, grid);
    let stretch = Stretch {
        low: [0.0; 3],
        high: [1.0; 3],
    };
    let options = Options {
        stretch: Some(&stretch),
        ..options(true)
    };
    let map = classify(&mut scene, grid, &mut classifier, &options).unwrap();
    assert_eq!(map.values, [0, 2, 2, 2]);
    assert_eq!(map.confidence[0], 0);
    assert_eq!(classifier.seen.len(), 3);
    assert_eq!(map.shares()[0], 0.25);
}

#[test]
fn a_scene_that_is_stopped_ends_at_once() {
    let saved = Saved::new(&textured(64, 64), "a.png");
    let mut scene = Scene::open(&saved.path).unwrap();
    let grid = Grid::new(scene.size(), (8, 8), 0).unwrap();
    let mut classifier = ByRed::new(2, grid);
    let stop = AtomicBool::new(false);
    let options = Options {
        stop: &stop,
        progress: &|_| stop.store(true, Ordering::Relaxed),
        ..options(false)
    };
    let outcome = classify(&mut scene, grid, &mut classifier, &options);
    assert!(matches!(outcome, Err(MapError::Data(DataError::Stopped))));
    assert_eq!(classifier.seen.len(), 3);
}

#[test]
fn what_makes_no_map_is_refused_with_what_would() {
    let message = |grid: Result<Grid, MapError>| grid.unwrap_err().to_string();
    let overlap = message(Grid::new((90, 90), (16, 8), 8));
    assert!(
        overlap.contains("--overlap is 8") && overlap.contains("0 to 7"),
        "{overlap}"
    );
    let small = message(Grid::new((90, 15), (16, 16), 0));
    assert!(
        small.contains("15 x 90") && small.contains("16 x 16"),
        "{small}"
    );
    let fine = message(Grid::new((30_000, 30_000), (64, 64), 63));
    assert!(
        fine.contains("900000000 cells") && fine.contains("--overlap"),
        "{fine}"
    );
    let saved = Saved::new(&textured(8, 8), "a.png");
    let mut scene = Scene::open(&saved.path).unwrap();
    let grid = Grid::new((8, 8), (8, 8), 0).unwrap();
    let many = classify(
        &mut scene,
        grid,
        &mut ByRed::new(256, grid),
        &options(false),
    );
    assert!(many.unwrap_err().to_string().contains("256 classes"));
}

/// A map of random values.
fn any_map() -> impl Strategy<Value = Map> {
    layout().prop_flat_map(|(height, width, tile, overlap)| {
        let grid = Grid::new((height, width), (tile, tile), overlap).unwrap();
        let cells = grid.cells();
        let bytes = |most| prop::collection::vec(0u8..=most, cells);
        (bytes(7), bytes(255)).prop_map(move |(values, confidence)| Map {
            grid,
            classes: 7,
            values,
            confidence,
            overview: textured(height, width),
        })
    })
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn pictures_and_classes_are_read_back_by_other_programs_decoders(map in any_map()) {
        let palette = colours(map.classes);
        let (rows, columns, scale) = (map.grid.down.cells(), map.grid.across.cells(), map.scale());
        for paint in [Paint::Classes, Paint::Confidence] {
            let png = image::load_from_memory(&picture(&map, paint).unwrap()).unwrap().into_rgba8();
            prop_assert_eq!(png.dimensions(), ((columns * scale) as u32, (rows * scale) as u32));
            for (x, y, pixel) in png.enumerate_pixels() {
                let cell = y as usize / scale * columns + x as usize / scale;
                let (value, sure) = (map.values[cell], map.confidence[cell]);
                prop_assert_eq!(pixel[3], if value == 0 { 0 } else { 255 });
                if value > 0 && (paint == Paint::Classes || sure == 255) {
                    prop_assert_eq!(pixel.0[..3].to_vec(), palette[usize::from(value) - 1].to_vec());
                }
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("classes.tif");
        std::fs::write(&path, raster(&map, None).unwrap()).unwrap();
        let mut file = tiff::decoder::Decoder::new(std::fs::File::open(&path).unwrap()).unwrap();
        prop_assert_eq!(file.dimensions().unwrap(), (columns as u32, rows as u32));
        prop_assert_eq!(file.get_tag_ascii_string(tiff::tags::Tag::GdalNodata).unwrap(), "0");
        // The program's own reader knows palettes.
        let mut scene = Scene::open(&path).unwrap();
        let mut pixels = Vec::new();
        while let Some(more) = scene.next_rows(None).unwrap() {
            pixels.extend(more.pixels);
        }
        for (pixel, &value) in pixels.chunks_exact(3).zip(&map.values) {
            let wanted = usize::from(value).checked_sub(1).map_or([255; 3], |class| palette[class]);
            prop_assert_eq!(pixel, &wanted[..]);
        }
    }
}

#[test]
fn the_page_names_every_class_and_needs_nothing_from_outside() {
    let grid = Grid::new((10, 10), (8, 8), 0).unwrap();
    let map = Map {
        grid,
        classes: 2,
        values: vec![1, 2, 0, 2],
        confidence: vec![255; 4],
        overview: textured(10, 10),
    };
    let classes = ["<forest>".to_string(), "lake & sea".to_string()];
    let page = page(&map, "a <scene>", &classes, &["A fact.".to_string()]).unwrap();
    for text in [
        "&lt;forest&gt;",
        "lake &amp; sea",
        "no data",
        "64.00&nbsp;%",
        "a &lt;scene&gt;",
        "A fact.",
        "width:160%;height:160%",
        "aspect-ratio:10/10",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("http") && !page.contains("src=\"/"));
}
