//! `ghostlight map`: a large image, tile by tile.

use crate::pictures::picture;
use crate::reference::{TRAININGS, copy};
use crate::sandbox::{Outcome, PROGRAM, Sandbox, files};
use ghostlight_models::map::Place;
use image::{ImageBuffer, Rgb, RgbImage};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("one JSON value")
}

/// A scene of textures of 90 x 50 pixels, a tile of which is an image of the run.
fn scene(path: &Path) -> RgbImage {
    let pixel = |x: u32, y: u32| {
        let patch = x / 16 + 3 * (y / 16);
        let stripes = (x * (1 + patch % 3) + y * (patch % 2)) * 40;
        Rgb([stripes, stripes / 2 + patch * 9, patch * 17].map(|value| (value % 256) as u8))
    };
    let image = RgbImage::from_fn(90, 50, pixel);
    image.save(path).expect("a scene to write");
    image
}

/// What `predict` says of each tile, in order.
fn predicted(sandbox: &Sandbox, image: &RgbImage, corners: &[(u32, u32)], side: u32) -> Vec<Value> {
    for (i, &(x, y)) in corners.iter().enumerate() {
        let tile = image::imageops::crop_imm(image, x, y, side, side).to_image();
        tile.save(sandbox.at(format!("{i}.png")))
            .expect("a tile to write");
    }
    let names: Vec<String> = (0..corners.len()).map(|i| format!("{i}.png")).collect();
    let outcome = sandbox.ghostlight(&format!("predict run {} --json", names.join(" ")));
    let found = json(&outcome.assert_success().stdout);
    found
        .as_array()
        .expect("an array")
        .iter()
        .map(|it| it["classes"][0].clone())
        .collect()
}

#[test]
fn each_cell_gets_the_answer_that_predict_gives_for_its_tile() {
    let sandbox = copy();
    let image = scene(&sandbox.at("scene.png"));
    for (options, side, across, down) in [
        ("", 16, vec![0, 16, 32, 48, 64, 74], vec![0, 16, 32, 34]),
        (
            "--tile 24 --overlap 6",
            24,
            vec![0, 15, 33, 51, 66],
            vec![0, 15, 26],
        ),
    ] {
        let outcome = sandbox.ghostlight(&format!("map scene.png --run run --json {options}"));
        let found = json(&outcome.assert_success().stdout);
        let corners: Vec<_> = down
            .iter()
            .flat_map(|&y| across.iter().map(move |&x| (x, y)))
            .collect();
        assert_eq!(
            found["cells"],
            serde_json::json!([down.len(), across.len()])
        );
        let answers = predicted(&sandbox, &image, &corners, side);
        let values = indices(&sandbox.at("scene-map.tif"));
        assert_eq!(values.len(), answers.len());
        let (mut counted, mut sure) = ([0_u32; 11], [0.0; 11]);
        for (value, answer) in values.iter().zip(&answers) {
            let class = &found["classes"][usize::from(*value) - 1];
            assert_eq!(class["class"], answer["class"]);
            assert_eq!(class["value"], *value);
            counted[usize::from(*value)] += 1;
            sure[usize::from(*value)] += answer["probability"].as_f64().unwrap();
        }
        let classes = found["classes"].as_array().unwrap();
        for (value, class) in (1..).zip(classes) {
            assert_eq!(class["cells"], counted[value]);
            // Probabilities are kept in 255ths.
            let mean = sure[value] / f64::from(counted[value].max(1));
            let kept = class["mean_confidence"].as_f64().unwrap();
            assert!((mean - kept).abs() < 0.003, "{class}, predicted {mean}");
        }
        let shares: f64 = classes
            .iter()
            .map(|class| class["share"].as_f64().unwrap())
            .sum();
        assert!((shares - 1.0).abs() < 1e-9);
        assert_eq!(
            json(&fs::read_to_string(sandbox.at("scene-map.json")).unwrap()),
            found
        );
        let page = fs::read_to_string(sandbox.at("scene-map.html")).unwrap();
        assert!(page.contains("orchard") && page.contains("(resnet8) of run"));
        assert!(
            !sandbox.at("scene-map.pgw").exists(),
            "nobody said where it lies"
        );
    }
}

/// The values of a TIFF of indices.
fn indices(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).expect("a raster");
    let mut file = tiff::decoder::Decoder::new(std::io::Cursor::new(grey(bytes))).expect("a TIFF");
    match file.read_image().expect("values") {
        tiff::decoder::DecodingResult::U8(values) => values,
        other => panic!("{other:?}"),
    }
}

/// A TIFF of palette indices as grey, which the decoder hands out.
fn grey(mut bytes: Vec<u8>) -> Vec<u8> {
    // Tag 262, a short number, one of it, 3.
    let entry = [6, 1, 3, 0, 1, 0, 0, 0, 3, 0];
    let place = bytes
        .windows(10)
        .position(|it| it == entry)
        .expect("a palette");
    bytes[place + 8] = 1;
    bytes
}

#[test]
fn the_networks_differ_and_the_same_map_has_the_same_bytes_on_one_core() {
    let sandbox = copy();
    scene(&sandbox.at("scene.png"));
    let map = |options: &str| {
        let words = format!("map scene.png --run run {options}");
        sandbox.ghostlight(&words).assert_success();
        fs::read(sandbox.at("scene-map.tif")).unwrap()
    };
    let all_cores = map("--overlap 8 --blend");
    let mut alone = Command::new("taskset");
    alone.args(["-c", "0", PROGRAM, "map", "scene.png", "--run", "run"]);
    alone.args(["--overlap", "8", "--blend", "--out", "alone.png"]);
    // Only Linux ties a process to a core.
    if let Ok(output) = alone.current_dir(sandbox.at("")).output() {
        Outcome::from(output).assert_success();
        assert!(all_cores == fs::read(sandbox.at("alone.tif")).unwrap());
    }
    let of = |name: &&str| {
        let found = map(&format!("--network {name}"));
        assert!(found == map(&format!("--model {name}")));
        let json = json(&fs::read_to_string(sandbox.at("scene-map.json")).unwrap());
        assert_eq!(json["network"], *name);
        found
    };
    let maps: Vec<_> = TRAININGS.iter().map(of).collect();
    assert!(maps[0] != maps[1] || maps[1] != maps[2]);
}

#[test]
fn the_scenes_place_is_kept_beside_the_map_and_in_the_classes() {
    let sandbox = copy();
    scene(&sandbox.at("scene.tif"));
    fs::write(sandbox.at("scene.tfw"), "10\n0\n0\n-10\n600005\n5699995\n").unwrap();
    fs::write(sandbox.at("scene.prj"), "PROJCS[\"UTM 32\"]").unwrap();
    sandbox
        .ghostlight("map scene.tif --run run --out there.png --classes raster.tif")
        .assert_success();
    let raster = Place::of(&sandbox.at("raster.tif")).unwrap().unwrap();
    assert_eq!(
        raster.affine,
        [160.0, 0.0, 600_000.0, 0.0, -160.0, 5_700_000.0]
    );
    // The picture has 16 pixels a cell, as many as the scene.
    let picture = Place::of(&sandbox.at("there.png")).unwrap().unwrap();
    assert_eq!(
        picture.affine,
        [10.0, 0.0, 600_000.0, 0.0, -10.0, 5_700_000.0]
    );
    assert_eq!(
        fs::read_to_string(sandbox.at("there.prj")).unwrap(),
        "PROJCS[\"UTM 32\"]"
    );
    assert!(sandbox.at("raster.json").exists() && sandbox.at("there.html").exists());
    // The next map of that name has no place of its own, and does not inherit one.
    fs::remove_file(sandbox.at("scene.tfw")).unwrap();
    let words = "map scene.tif --run run --out there.png --json";
    let found = json(&sandbox.ghostlight(words).assert_success().stdout);
    assert!(found["place"].is_null());
    assert!(!sandbox.at("there.pgw").exists() && !sandbox.at("there.prj").exists());
    assert_eq!(Place::of(&sandbox.at("there.tif")).unwrap(), None);
    // A GeoTIFF tells the place itself, and is believed before a world file.
    fs::copy(sandbox.at("raster.tif"), sandbox.at("again.tif")).unwrap();
    fs::write(sandbox.at("again.tfw"), "1\n0\n0\n-1\n5\n6\n").unwrap();
    let again = Place::of(&sandbox.at("again.tif")).unwrap().unwrap();
    assert_eq!(
        again,
        Place {
            source: sandbox.at("again.tif"),
            ..raster
        }
    );
}

#[test]
fn what_makes_no_map_is_refused_before_anything_is_written() {
    let sandbox = copy();
    scene(&sandbox.at("scene.png"));
    picture(&sandbox.at("small.png"), (12, 12), 1);
    fs::write(sandbox.at("notes.tif"), "a shopping list").unwrap();
    let deep = ImageBuffer::<Rgb<u16>, _>::from_pixel(20, 20, Rgb([300u16; 3]));
    image::DynamicImage::from(deep)
        .save(sandbox.at("deep.tif"))
        .unwrap();
    let whole = fs::read(sandbox.at("scene.png")).unwrap();
    fs::write(sandbox.at("cut.png"), &whole[..whole.len() / 2]).unwrap();
    fs::copy(sandbox.at("scene.png"), sandbox.at("placed.png")).unwrap();
    fs::write(sandbox.at("placed.pgw"), "1\n0\n").unwrap();
    for (words, named) in [
        ("nowhere.png", &["nowhere.png", "No such file"][..]),
        ("notes.tif", &["notes.tif", "neither JPEG"]),
        ("small.png", &["12 x 12", "16 x 16", "predict"]),
        ("deep.tif", &["deep.tif", "more than 8 bits"]),
        ("cut.png", &["cut.png", "cut short"]),
        ("placed.png", &["placed.pgw", "2 numbers"]),
        ("scene.png --overlap 16", &["--overlap is 16", "0 to 15"]),
        ("scene.png --tile 7", &["--tile", "8..=4096"]),
        ("scene.png --tile 60", &["90 x 50", "60 x 60"]),
        ("scene.png --network tutor", &["tutor", "teacher"]),
        ("scene.png --out map.jpg", &["map.jpg", ".png"]),
        ("scene.png --classes map.png", &["map.png", ".tif"]),
        (
            "scene.png --out no/where.png",
            &["no/where.png", "nothing can be written"],
        ),
        (
            "scene.png --out scene.png",
            &["scene.png", "the scene itself"],
        ),
        ("deep.tif --out deep.png", &["deep.tif", "the scene itself"]),
    ] {
        sandbox.refuses(&format!("map {words} --run run"), named);
        let plain = !words.contains("--");
        if plain {
            sandbox.refuses(&format!("map {words} --run run --json"), named);
        }
    }
    sandbox.refuses("map scene.png --run nowhere", &["no run in nowhere"]);
    sandbox.refuses("map scene.png", &["--run"]);
}

#[test]
#[cfg(unix)]
fn a_map_that_is_stopped_leaves_no_file() {
    use std::time::{Duration, Instant};
    let sandbox = copy();
    let scene = RgbImage::from_fn(2048, 2048, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]));
    scene.save(sandbox.at("scene.tif")).unwrap();
    let before: Vec<_> = files(&sandbox.at("")).into_keys().collect();
    // Far more tiles than the time allows.
    let words = "map scene.tif --run run --overlap 14";
    let mut child = sandbox
        .command(words)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let interrupt = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupt.unwrap().success());
    let begun = Instant::now();
    let ended = child.wait().unwrap();
    assert_eq!(ended.code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(10));
    let after: Vec<_> = files(&sandbox.at("")).into_keys().collect();
    assert_eq!(before, after);
}

/// A BigTIFF of `side` x `side` grey pixels in tiles of 256 x 256 that all are the same bytes of the file.
fn vast(path: &Path, side: u64) {
    let tiles = (side / 256).pow(2);
    let data: Vec<u8> = (0..256 * 256u32).map(|i| (i % 253) as u8).collect();
    let mut file = b"II\x2B\0\x08\0\0\0".to_vec();
    let offsets = 16 + data.len() as u64;
    let lengths = offsets + 8 * tiles;
    file.extend((lengths + 8 * tiles).to_le_bytes());
    file.extend(&data);
    file.extend((0..tiles).flat_map(|_| 16u64.to_le_bytes()));
    file.extend((0..tiles).flat_map(|_| (data.len() as u64).to_le_bytes()));
    let tags: [(u16, u16, u64, u64); 9] = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (322, 4, 1, 256),
        (323, 4, 1, 256),
        (324, 16, tiles, offsets),
        (325, 16, tiles, lengths),
    ];
    file.extend((tags.len() as u64).to_le_bytes());
    for (tag, kind, count, value) in tags {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend(0u64.to_le_bytes());
    fs::write(path, file).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn a_scene_of_a_gigabyte_passes_through_a_small_memory() {
    let sandbox = copy();
    let peak = |side: u64| {
        vast(&sandbox.at("vast.tif"), side);
        let mut child = sandbox
            .command("map vast.tif --run run --tile 1024 --json")
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        let mut status = 0;
        // SAFETY: the child is this process's own and has not been waited for; both results have room.
        let usage = unsafe {
            libc::wait4(child.id() as i32, &mut status, 0, usage.as_mut_ptr());
            usage.assume_init()
        };
        assert_eq!(status, 0);
        _ = child.try_wait();
        // In kilobytes.
        usage.ru_maxrss as u64 * 1024
    };
    let (small, large) = (peak(2048), peak(18_432));
    // Of 18,432 x 18,432 pixels, 1.02 GB as RGB, a row of tiles is 57 MB, and one of the file's tiles above and below.
    assert!(large < small + 150_000_000, "{large} after {small} bytes");
}
