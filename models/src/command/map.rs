use super::error::CommandError;
use super::output::{self, note};
use super::predict::{chosen, load};
use super::progress::Bars;
use crate::data::{Scene, stop as stopping};
use crate::distill::RunData;
use crate::map::{
    Grid, Map, NetworkClassifier, Options, Paint, Place, classify, colours, page, picture, raster,
};
use crate::run::{RunDir, write_atomic};
use crate::train::Progress;
use clap::Args;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

#[derive(Args)]
pub(super) struct MapArguments {
    /// The large image: a TIFF or BigTIFF in strips or tiles and a PNG are read piece by piece, JPEG, BMP, WebP and PNM whole.
    scene: PathBuf,
    /// The run's folder.
    #[arg(long)]
    run: PathBuf,
    /// Which of the run's networks answers, as `teacher` or `student_alone`. Default: the first student that was taught.
    #[arg(long, visible_alias = "network", value_name = "NAME")]
    model: Option<String>,
    /// Side of a tile in pixels; if not given, the size of the images that the run was trained on. Tiles of another size are resized to it.
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(8..=4096))]
    tile: Option<u32>,
    /// Pixels that neighbouring tiles share. The map's cells are a tile less these.
    #[arg(long, value_name = "PX", default_value_t = 0)]
    overlap: u32,
    /// Average, for each cell, the probabilities of all tiles that cover it.
    #[arg(long)]
    blend: bool,
    /// Paint a class the paler, the less sure the network is.
    #[arg(long)]
    confidence: bool,
    /// The picture of the map; a page to look at (.html) goes beside it. SCENE-map.png in the working folder if not given.
    #[arg(long, value_name = "FILE.png")]
    out: Option<PathBuf>,
    /// The classes, one 8-bit value a cell; what the values mean (.json) goes beside them. Beside the picture if not given.
    #[arg(long, value_name = "FILE.tif")]
    classes: Option<PathBuf>,
    /// Print one JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

/// The files that a map becomes.
struct Files {
    picture: PathBuf,
    page: PathBuf,
    classes: PathBuf,
    meaning: PathBuf,
    /// The picture's world file, and the description of its coordinates where the scene has one.
    world: PathBuf,
    projection: PathBuf,
}

impl Files {
    /// Refuses names of other kinds, folders that nothing can be written to, and the scene's own name.
    fn of(arguments: &MapArguments) -> Result<Self, CommandError> {
        let stem = arguments.scene.file_stem().unwrap_or_default();
        let default = PathBuf::from(format!("{}-map.png", stem.to_string_lossy()));
        let picture = arguments.out.clone().unwrap_or(default);
        let classes = arguments.classes.clone();
        let classes = classes.unwrap_or_else(|| picture.with_extension("tif"));
        let files = Self {
            page: picture.with_extension("html"),
            world: picture.with_extension("pgw"),
            projection: picture.with_extension("prj"),
            meaning: classes.with_extension("json"),
            picture,
            classes,
        };
        let refuse = |path: &Path, reason: String| {
            let path = path.to_path_buf();
            Err(CommandError::MapFile { path, reason })
        };
        let kinds = [
            (&files.picture, &["png"][..]),
            (&files.classes, &["tif", "tiff"]),
        ];
        for (path, kinds) in kinds {
            let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
            if !kinds.iter().any(|kind| extension == *kind) {
                return refuse(path, format!("its name has to end in .{}", kinds[0]));
            }
            let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
            if let Err(e) = tempfile::tempfile_in(folder.unwrap_or(Path::new("."))) {
                return refuse(path, format!("nothing can be written there: {e}"));
            }
        }
        let scene = fs::canonicalize(&arguments.scene).ok();
        let all = [
            &files.picture,
            &files.page,
            &files.classes,
            &files.meaning,
            &files.world,
            &files.projection,
        ];
        for path in all {
            if scene.is_some() && fs::canonicalize(path).ok() == scene {
                return refuse(
                    path,
                    "it is the scene itself; give --out another name".to_string(),
                );
            }
        }
        Ok(files)
    }
}

pub(super) fn run(arguments: &MapArguments, stop: &AtomicBool) -> Result<(), CommandError> {
    let run = RunDir::open(&arguments.run)?;
    let recipe = run.recipe()?;
    let data: RunData = run.split()?;
    let files = Files::of(arguments)?;
    let mut scene = Scene::open(&arguments.scene)?;
    let tile = match arguments.tile {
        Some(side) => (side as usize, side as usize),
        None => (data.height, data.width),
    };
    let grid = Grid::new(scene.size(), tile, arguments.overlap as usize)?;
    let place = place(arguments, &scene)?;
    if data.stretch.is_some() && !scene.is_deep() {
        note(
            "warning: the scene has 8 bits a sample, but the images that the run was trained on had more: the network may not know such images",
        );
    }
    let client = cubecl::Device::default().client();
    let planned = chosen(&run, &recipe, arguments.model.as_deref())?;
    let title = planned.title.as_str();
    let network = load(&client, &run, &recipe, &data, &planned)?;
    let mut classifier = NetworkClassifier {
        client: &client,
        network: &network,
        classes: data.classes.len(),
        stats: &data.stats,
        tile,
        peak_lr: recipe.train.peak_lr,
    };
    let bars = Bars::default();
    bars.begin("classifying tiles", 0, grid.cells() as u64);
    let options = Options {
        blend: arguments.blend,
        stretch: data.stretch.as_ref(),
        stop,
        progress: &|tiles| bars.advance(tiles, ""),
    };
    let map = classify(&mut scene, grid, &mut classifier, &options);
    bars.end("");
    let made = Made {
        arguments,
        data: &data,
        files,
        place,
        network: (&planned.name, title, &network.arch),
        map: map?,
    };
    stopping::check(stop)?;
    made.write()?;
    match arguments.json {
        true => output::result(made.meaning()),
        false => made.print(),
    }
}

/// The scene's place, and what is to be said of it.
fn place(arguments: &MapArguments, scene: &Scene) -> Result<Option<Place>, CommandError> {
    let place = Place::of(&arguments.scene)?;
    match place {
        Some(_) if !scene.is_upright() => {
            note(
                "warning: the scene's orientation tag turns it, but its place is that of the image as it lies in the file: the map is written without it",
            );
            Ok(None)
        }
        place => Ok(place),
    }
}

/// A map and how it was made.
struct Made<'a> {
    arguments: &'a MapArguments,
    data: &'a RunData,
    files: Files,
    place: Option<Place>,
    /// The network that answered: its name in files, its name for people, its architecture.
    network: (&'a str, &'a str, &'a str),
    map: Map,
}

impl Made<'_> {
    /// What stands in the side file, and on standard output with --json.
    fn meaning(&self) -> Value {
        let Self {
            arguments,
            data,
            files,
            map,
            network: (phase, _, arch),
            ..
        } = self;
        let (down, across) = (map.grid.down, map.grid.across);
        let shares = map.shares();
        let classes = (1..).zip(data.classes.iter().zip(colours(map.classes)));
        let classes: Vec<Value> = classes
            .map(|(value, (class, [r, g, b])): (usize, _)| {
                let cells =
                    || (0..map.values.len()).filter(|&i| usize::from(map.values[i]) == value);
                let sure: f64 = cells().map(|i| f64::from(map.confidence[i]) / 255.0).sum();
                json!({
                    "value": value,
                    "class": class,
                    "colour": format!("#{r:02x}{g:02x}{b:02x}"),
                    "cells": cells().count(),
                    "share": shares[value],
                    "mean_confidence": sure / cells().count().max(1) as f64,
                })
            })
            .collect();
        json!({
            "scene": arguments.scene,
            "scene_size": [down.scene, across.scene],
            "run": arguments.run,
            "network": phase,
            "arch": arch,
            "tile": [down.tile, across.tile],
            "overlap": arguments.overlap,
            "blend": arguments.blend,
            "cell": [down.cell, across.cell],
            "cells": [down.cells(), across.cells()],
            "no_data": {"value": 0, "share": shares[0]},
            "classes": classes,
            "place": self.place.as_ref().map(|place| json!({
                "source": place.source,
                "cell_affine": place.coarser((down.cell as f64, across.cell as f64)).affine,
            })),
            "picture": files.picture,
            "page": files.page,
            "raster": files.classes,
        })
    }

    /// How the map was made, in sentences.
    fn facts(&self) -> Vec<String> {
        let Self {
            arguments,
            map,
            network: (_, title, arch),
            ..
        } = self;
        let (down, across) = (map.grid.down, map.grid.across);
        let mut facts = vec![
            format!(
                "The scene, {}, has {} x {} pixels; the map has {} x {} cells of {} x {} pixels.",
                arguments.scene.display(),
                across.scene,
                down.scene,
                across.cells(),
                down.cells(),
                across.cell,
                down.cell
            ),
            format!(
                "Tiles of {} x {} pixels, of which neighbours share {}, were classified by the {title} ({arch}) of {}.",
                across.tile,
                down.tile,
                arguments.overlap,
                arguments.run.display()
            ),
        ];
        if arguments.blend {
            facts.push(
                "A cell's probabilities are the mean of those of the tiles that cover it."
                    .to_string(),
            );
        }
        if let Some(place) = &self.place {
            let [_, _, x, _, _, y] = place.affine;
            facts.push(format!(
                "Its upper left corner lies at {x}, {y}, says {}.",
                place.source.display()
            ));
        }
        facts
    }

    /// Makes all files before the first is written.
    fn write(&self) -> Result<(), CommandError> {
        let Self {
            arguments,
            data,
            files,
            map,
            ..
        } = self;
        let paint = match arguments.confidence {
            true => Paint::Confidence,
            false => Paint::Classes,
        };
        let stem = arguments.scene.file_stem().unwrap_or_default();
        let page = page(map, &stem.to_string_lossy(), &data.classes, &self.facts())?;
        let mut all = vec![
            (&files.picture, picture(map, paint)?),
            (&files.page, page.into_bytes()),
            (&files.classes, raster(map, self.place.as_ref())?),
            (
                &files.meaning,
                format!("{:#}\n", self.meaning()).into_bytes(),
            ),
        ];
        // What an earlier map of this name left would give this one a place that is not its own.
        let mut stale = vec![&files.world, &files.projection];
        if let Some(place) = &self.place {
            let pixel = |cell| cell as f64 / map.scale() as f64;
            let pixels = (pixel(map.grid.down.cell), pixel(map.grid.across.cell));
            let world = place.coarser(pixels).to_world_file();
            all.push((&files.world, world.into_bytes()));
            if let Ok(projection) = fs::read(arguments.scene.with_extension("prj")) {
                all.push((&files.projection, projection));
            }
        }
        stale.retain(|path| all.iter().all(|(written, _)| written != path));
        for (path, bytes) in all {
            write_atomic(path, &bytes)?;
        }
        stale.iter().for_each(|path| _ = fs::remove_file(path));
        Ok(())
    }

    /// The legend, and where the files are.
    fn print(&self) -> Result<(), CommandError> {
        let Self {
            data, files, map, ..
        } = self;
        let shares = map.shares();
        let palette = colours(map.classes);
        let width = data.classes.iter().map(|class| class.chars().count());
        let width = width.max().unwrap_or(0).max("no data".len());
        output::result(format_args!("value  {:width$}  colour      area", "class"))?;
        for (value, (class, [r, g, b])) in (1..).zip(data.classes.iter().zip(palette)) {
            let share: f64 = shares[value];
            output::result(format_args!(
                "{value:>5}  {class:width$}  #{r:02x}{g:02x}{b:02x}  {:6.2} %",
                100.0 * share
            ))?;
        }
        if shares[0] > 0.0 {
            output::result(format_args!(
                "{:>5}  {:width$}  {:7}  {:6.2} %",
                0,
                "no data",
                "",
                100.0 * shares[0]
            ))?;
        }
        output::result(format_args!(
            "map: {}  (open {}); classes: {}, explained in {}",
            files.picture.display(),
            files.page.display(),
            files.classes.display(),
            files.meaning.display()
        ))
    }
}
