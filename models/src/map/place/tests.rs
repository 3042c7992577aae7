use super::*;
use crate::map::{Grid, Map, raster};
use ghostlight_tests::cases;
use image::RgbImage;
use proptest::prelude::*;

/// A map of one class on a scene of 20 x 30 pixels, in cells of 8.
fn map() -> Map {
    let grid = Grid::new((20, 30), (8, 8), 0).unwrap();
    Map {
        grid,
        classes: 2,
        values: vec![1; grid.cells()],
        confidence: vec![255; grid.cells()],
        overview: RgbImage::new(1, 1),
    }
}

/// UTM zone 32 north, with coordinates of a pixel's corner (1) or middle (2).
fn utm(raster_type: u16) -> GeoKeys {
    GeoKeys {
        directory: [
            [1, 1, 0, 4],
            [1024, 0, 1, 1],
            [RASTER_TYPE, 0, 1, raster_type],
            [1026, 34737, 22, 0],
            [3072, 0, 1, 32632],
        ]
        .concat(),
        doubles: vec![6_378_137.0, 298.257_223_563],
        ascii: Some("WGS 84 / UTM zone 32N|".to_string()),
    }
}

fn place() -> impl Strategy<Value = Place> {
    let size = || prop_oneof![-1e3..-1e-3, 1e-3..1e3f64];
    let turn = || prop_oneof![Just(0.0), -1e-2..1e-2f64];
    let corner = || -1e7..1e7f64;
    let keys = prop::option::of((1u16..=2).prop_map(utm));
    let numbers = (size(), turn(), corner(), turn(), size(), corner());
    (numbers, keys).prop_filter_map("no area", |((a, b, c, d, e, f), keys)| {
        (a * e - b * d != 0.0).then(|| Place {
            affine: [a, b, c, d, e, f],
            keys,
            source: PathBuf::new(),
        })
    })
}

/// Where two places put a pixel far from the first, in pixels of the one.
fn apart(one: &Place, other: &Place) -> f64 {
    let at = |place: &Place| {
        let [a, b, c, d, e, f] = place.affine;
        (a * 50.0 + b * 70.0 + c, d * 50.0 + e * 70.0 + f)
    };
    let ((x, y), (u, v)) = (at(one), at(other));
    let [a, b, _, d, e, _] = one.affine;
    ((x - u).abs() + (y - v).abs()) / (a.abs() + b.abs()).min(d.abs() + e.abs())
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn a_map_lies_where_its_scene_does(place in place()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.tif");
        fs::write(&path, raster(&map(), Some(&place)).unwrap()).unwrap();
        let found = Place::of(&path).unwrap().unwrap();
        let wanted = place.coarser((8.0, 8.0));
        prop_assert!(apart(&wanted, &found) < 1e-6, "{:?} {:?}", wanted, found);
        // The second cell begins at the scene's eighth pixel.
        let [a, _, c, d, _, f] = place.affine;
        let [u, _, w, v, _, z] = found.affine;
        prop_assert!((8.0 * a + c - (u + w)).abs() < 1e-6 * a.abs() + 1e-8);
        prop_assert!((8.0 * d + f - (v + z)).abs() < 1e-6 * a.abs() + 1e-8);
        let system = found.keys.unwrap();
        match place.keys {
            Some(keys) => prop_assert_eq!(system, keys),
            None => prop_assert_eq!(&system.directory[..], &NO_SYSTEM[..]),
        }
    }

    #[test]
    fn a_world_file_is_read_back_as_it_was_written(place in place()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scene.pgw");
        fs::write(&path, place.to_world_file()).unwrap();
        let found = Place::of(&folder.path().join("scene.png")).unwrap().unwrap();
        prop_assert!(apart(&place, &found) < 1e-6);
        prop_assert_eq!(found.source, path);
        prop_assert!(found.keys.is_none());
    }
}

#[test]
fn a_sentinel_tile_of_ten_metres_is_understood_to_the_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.tif");
    // The example of the world file's inventors: the middle of the first pixel is half a pixel inside.
    fs::write(
        folder.path().join("scene.tfw"),
        "10.0\n0\n0\n-10.0\n600005.0\n5699995.0\n",
    )
    .unwrap();
    let scene = Place::of(&folder.path().join("scene.tif"))
        .unwrap()
        .unwrap();
    assert_eq!(
        scene.affine,
        [10.0, 0.0, 600_000.0, 0.0, -10.0, 5_700_000.0]
    );
    assert_eq!(
        scene.coarser((64.0, 64.0)).to_world_file(),
        "640.0\n0.0\n0.0\n-640.0\n600320.0\n5699680.0\n"
    );
    // A GeoTIFF that refers to the middles of pixels says so of the map's as well.
    let point = Place {
        keys: Some(utm(2)),
        ..scene
    };
    fs::write(&path, raster(&map(), Some(&point)).unwrap()).unwrap();
    let mut file = Decoder::new(BufReader::new(File::open(&path).unwrap())).unwrap();
    let tie = file.get_tag_f64_vec(Tag::ModelTiepointTag).unwrap();
    assert_eq!(tie, [0.0, 0.0, 0.0, 600_040.0, 5_699_960.0, 0.0]);
    assert_eq!(
        file.get_tag_f64_vec(Tag::ModelPixelScaleTag).unwrap(),
        [80.0, 80.0, 0.0]
    );
}

#[test]
fn world_files_go_by_the_names_that_programs_give_them() {
    for (scene, world) in [
        ("a.tif", "a.tfw"),
        ("a.TIF", "a.TFW"),
        ("a.tiff", "a.tfw"),
        ("a.tif", "a.tifw"),
        ("a.jpg", "a.jgw"),
        ("a.jpeg", "a.jpegw"),
        ("a.png", "a.wld"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(world), "2,5\n0\n0\n-2,5\n7\n8\n").unwrap();
        let found = Place::of(&folder.path().join(scene)).unwrap();
        let width = found.map(|place| place.affine[0]);
        assert_eq!(width, Some(2.5), "{scene} {world}");
    }
}

#[test]
fn a_place_that_is_none_is_refused_by_line_and_value() {
    for (text, named) in [
        ("1\n0\n0\n", "3 numbers"),
        ("1\n0\n0\n-1\n5\n6\n7\n", "7 numbers"),
        ("1\n0\nnorth\n-1\n5\n6\n", "line 3 is `north`"),
        ("1\n0\n0\nNaN\n5\n6\n", "line 4 is `NaN`"),
        ("0\n0\n0\n-1\n5\n6\n", "no area"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.tfw"), text).unwrap();
        let message = Place::of(&folder.path().join("a.tif"))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains(named) && message.contains("a.tfw") && message.contains("six lines"),
            "{message}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    let flat = Place {
        affine: [0.0, 0.0, 5.0, 0.0, -1.0, 6.0],
        keys: None,
        source: PathBuf::new(),
    };
    fs::write(&path, raster(&map(), Some(&flat)).unwrap()).unwrap();
    let message = Place::of(&path).unwrap_err().to_string();
    assert!(
        message.contains("no area") && message.contains("gdal_edit"),
        "{message}"
    );
    assert_eq!(Place::of(&folder.path().join("nowhere.tif")).unwrap(), None);
}
