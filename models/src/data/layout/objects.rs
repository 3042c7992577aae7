//! The annotated objects of a folder, each an image of its own.

use super::annotation::{Annotation, Broken, Object};
use super::{DOTA_IMAGES, DOTA_LABELS, Layout, RSOD_IMAGES, RSOD_XML, dota, voc};
use crate::data::crop::Crop;
use crate::data::decode::{Header, is_image_name};
use crate::data::folder::LoadOptions;
use crate::data::passed_over::{PassedOver, kind};
use crate::data::scan::{
    Listing, Source, Walk, check_known, check_trainable, name_of, visible_folders,
};
use crate::data::{BadFile, DataError, LeftOut, ObjectOptions, Objects, stop};
use rayon::prelude::*;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// An image and its annotation, by name relative to the data folder and by path.
struct Scene {
    image: (String, PathBuf),
    annotation: (String, PathBuf),
}

/// The objects of `dir/images`, as `dir/labelTxt` has them.
pub(super) fn dota(dir: &Path, options: &LoadOptions) -> Result<Listing, DataError> {
    let mut passed_over = PassedOver::default();
    let images = files(
        &dir.join(DOTA_IMAGES),
        DOTA_IMAGES,
        &mut passed_over,
        options,
    )?;
    let labels = files(
        &dir.join(DOTA_LABELS),
        DOTA_LABELS,
        &mut passed_over,
        options,
    )?;
    let scenes = pair(images, labels, "txt", &mut passed_over);
    objects(dir, scenes, dota::parse, passed_over, options)
}

/// The objects of every class folder of `dir`. An object's class is its own, not its folder's.
pub(super) fn rsod(dir: &Path, options: &LoadOptions) -> Result<Listing, DataError> {
    let mut passed_over = PassedOver::default();
    let mut scenes = Vec::new();
    for folder in visible_folders(dir)? {
        let mut files = |inner: &str| {
            let name = format!("{}/{inner}", name_of(&folder));
            let folder = folder.join(inner);
            match folder.is_dir() {
                true => files(&folder, &name, &mut passed_over, options),
                false => Ok(Vec::new()),
            }
        };
        let (images, labels) = (files(RSOD_IMAGES)?, files(RSOD_XML)?);
        scenes.extend(pair(images, labels, "xml", &mut passed_over));
    }
    objects(dir, scenes, voc::parse, passed_over, options)
}

/// All files under `folder`, called `name`.
fn files(
    folder: &Path,
    name: &str,
    passed_over: &mut PassedOver,
    options: &LoadOptions,
) -> Result<Vec<(String, PathBuf)>, DataError> {
    let mut walk = Walk::new(passed_over, options.stop).of_all_files();
    walk.enter(folder, name)?;
    Ok(walk.images)
}

/// The images and the annotations of the same name, in the order of the images.
fn pair(
    images: Vec<(String, PathBuf)>,
    labels: Vec<(String, PathBuf)>,
    extension: &str,
    passed_over: &mut PassedOver,
) -> Vec<Scene> {
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_os_string());
    let is_label = |path: &Path| {
        path.extension()
            .is_some_and(|it| it.eq_ignore_ascii_case(extension))
    };
    let (labels, others): (Vec<_>, Vec<_>) =
        labels.into_iter().partition(|(_, path)| is_label(path));
    let (images, more): (Vec<_>, Vec<_>) = images
        .into_iter()
        .partition(|(_, path)| is_image_name(path));
    for (name, path) in others.into_iter().chain(more) {
        passed_over.add(kind(&path), name);
    }
    let mut by_stem = BTreeMap::new();
    for (name, path) in labels {
        match by_stem.entry(stem(&path)) {
            Entry::Vacant(free) => {
                free.insert((name, path));
            }
            Entry::Occupied(_) => passed_over.add("further annotations of one name".into(), name),
        }
    }
    let mut scenes = Vec::new();
    for image in images {
        match by_stem.remove(&stem(&image.1)) {
            Some(annotation) => scenes.push(Scene { image, annotation }),
            None => passed_over.add("images without annotations".into(), image.0),
        }
    }
    for (name, _) in by_stem.into_values() {
        passed_over.add("annotations without an image".into(), name);
    }
    scenes
}

/// What a scene holds.
struct Found {
    /// Class, name and crop of each object that is wanted.
    objects: Vec<(String, String, Crop)>,
    left_out: LeftOut,
    broken: Vec<BadFile>,
}

fn objects(
    dir: &Path,
    scenes: Vec<Scene>,
    parse: fn(&str) -> Annotation,
    passed_over: PassedOver,
    options: &LoadOptions,
) -> Result<Listing, DataError> {
    let found: Vec<Found> = scenes
        .par_iter()
        .map(|scene| stop::check(options.stop).map(|()| read(scene, parse, &options.objects)))
        .collect::<Result<_, _>>()?;
    // What is broken may be all that there is of a class.
    let broken: Vec<BadFile> = found.iter().flat_map(|it| it.broken.clone()).collect();
    options.refuse(&broken)?;
    let present: BTreeSet<&String> = found
        .iter()
        .flat_map(|scene| scene.objects.iter().map(|(class, ..)| class))
        .collect();
    let classes: Vec<String> = match options.classes {
        Some(known) => {
            check_known(dir, known, present.into_iter())?;
            known.to_vec()
        }
        None => {
            let classes: Vec<String> = present.into_iter().cloned().collect();
            if classes.is_empty() {
                return Err(DataError::NoObjectsLeft {
                    dir: dir.to_path_buf(),
                    scenes: scenes.len(),
                    left_out: found.iter().map(|scene| scene.left_out).sum(),
                });
            }
            check_trainable(dir, &classes, 0)?;
            classes
        }
    };
    let (mut sources, mut left_out) = (Vec::new(), LeftOut::default());
    for (scene, found) in scenes.into_iter().zip(found) {
        left_out += found.left_out;
        sources.extend(found.objects.into_iter().map(|(class, name, crop)| Source {
            path: scene.image.1.clone(),
            name,
            // Every class found is one of `classes` by now.
            label: classes.iter().position(|c| *c == class).unwrap_or_default() as u32,
            crop: Some(crop),
        }));
    }
    Ok(Listing {
        layout: Layout::Auto,
        classes,
        sources,
        passed_over,
        left_out,
        broken,
    })
}

/// The objects of a scene that are wanted. The number in an object's name is its place in the annotation, whatever is left out.
fn read(scene: &Scene, parse: fn(&str) -> Annotation, wanted: &ObjectOptions) -> Found {
    let (image, path) = &scene.image;
    let annotation = match std::fs::read(&scene.annotation.1) {
        // A person's name in another encoding is no reason to refuse the boxes.
        Ok(bytes) => parse(&String::from_utf8_lossy(&bytes)),
        Err(error) => Annotation::broken(1, error.to_string()),
    };
    let mut found = Found {
        objects: Vec::new(),
        left_out: LeftOut::default(),
        broken: Vec::new(),
    };
    // Where the image cannot be read, decoding will say why.
    let size = Header::read(path).map(|header| header.size);
    if let (Some((height, width)), Some((said_height, said_width))) = (size, annotation.size)
        && (height, width) != (said_height, said_width)
    {
        let reason = format!(
            "it speaks of an image of {said_width} x {said_height} pixels, but {image} has {width} x {height}"
        );
        found.broken.push(BadFile {
            file: scene.annotation.0.clone(),
            reason,
        });
        return found;
    }
    for (number, object) in (1..).zip(annotation.objects) {
        let object = object.and_then(|object| match object.outline.fault(size) {
            Some(reason) => Err(Broken {
                line: object.line,
                reason,
            }),
            None => Ok(object),
        });
        let Object {
            class,
            outline,
            difficult,
            ..
        } = match object {
            Ok(object) => object,
            Err(Broken { line, reason }) => {
                let file = format!("{}, line {line}", scene.annotation.0);
                found.broken.push(BadFile { file, reason });
                continue;
            }
        };
        let frame = match wanted.how {
            Objects::Axis => outline.along_axes(),
            // A box whose first edge has no length has no direction either.
            _ => outline.upright().unwrap_or_else(|| outline.along_axes()),
        };
        if difficult && !wanted.difficult {
            found.left_out.difficult += 1;
        } else if frame.longer_side() < wanted.least_size as f64 {
            found.left_out.small += 1;
        } else {
            let crop = Crop::new(outline, frame, wanted.margin);
            found
                .objects
                .push((class, format!("{image}#{number}"), crop));
        }
    }
    found
}
