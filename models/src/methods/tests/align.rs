//! Feature maps: what the adaptor, the resize and the choice of transforms come to.

use super::super::align::{AlignedStage, group};
use super::*;
use crate::nn::{Declarations, Mode, Pass, Store};
use crate::recipe::{Align, AlignGroup, AlignNorm, Select};
use crate::run::NamedTensor;
use ghostlight_kernels::loss::flip_align::reference::{flip_align, transformed};
use ghostlight_kernels::loss::flip_align::{
    FlipOptions, FlipProblem, Normalisation, Selection, Transform,
};
use ghostlight_tests::reals;

/// Images, and the extents of the student's and of the teacher's maps: height, width and channels.
#[derive(Clone, Copy)]
struct Extents {
    images: usize,
    student: [usize; 3],
    teacher: [usize; 3],
}

/// Four images with maps of one size.
const LEVEL: Extents = Extents {
    images: 4,
    student: [4, 4, 3],
    teacher: [4, 4, 2],
};

impl Extents {
    fn len(&self, of: [usize; 3]) -> usize {
        self.images * of.iter().product::<usize>()
    }

    fn shape(&self, [h, w, c]: [usize; 3]) -> [usize; 4] {
        [self.images, h, w, c]
    }
}

/// One method with its adaptors in f64, on maps of these extents.
struct Scene {
    extents: Extents,
    method: AlignMethod,
    aids: Store,
    student: Vec<f64>,
    teacher: Vec<f64>,
}

/// What the method makes of them.
struct Found {
    value: f64,
    watched: Vec<(String, f64)>,
    of_student: Vec<f64>,
    of_aids: Vec<f64>,
}

impl Scene {
    fn new(extents: Extents, align: Align) -> Self {
        let mut declarations = Declarations::default();
        let of_student = ("ours", extents.student[2]);
        let of_teacher = ("theirs", extents.teacher);
        let path = &mut declarations.root();
        let stage = AlignedStage::new(path.at("align.0"), &align, of_student, of_teacher);
        let mut aids = Store::new(&client(), DType::F64, declarations, 5, 9).unwrap();
        // Files hold 32 bits: what is read back here is what the device has.
        let weights = aids.weights().unwrap();
        aids.set_weights(&weights).unwrap();
        Self {
            extents,
            method: AlignMethod {
                align,
                stages: vec![stage],
            },
            aids,
            student: reals(1, extents.len(extents.student)),
            teacher: reals(2, extents.len(extents.teacher)),
        }
    }

    /// Makes the adaptor the identity; both maps must have as many channels.
    fn unadapted(mut self) -> Self {
        let channels = self.extents.student[2];
        let data = (0..channels * channels).map(|i| f32::from(u8::from(i % (channels + 1) == 0)));
        let identity = NamedTensor {
            name: "align.0.conv.weight".into(),
            shape: vec![channels, channels, 1, 1],
            data: data.collect(),
        };
        self.aids.set_weights(&[identity]).unwrap();
        self
    }

    /// The adaptor's weight, `[out][in]`.
    fn adaptor(&self) -> Vec<Vec<f64>> {
        let weights = self.aids.weights().unwrap();
        let conv = weights
            .iter()
            .find(|tensor| tensor.name == "align.0.conv.weight");
        let rows = conv.unwrap().data.chunks(self.extents.student[2]);
        rows.map(|row| row.iter().map(|&v| v.into()).collect())
            .collect()
    }

    /// The student's map under a 1x1 convolution, pixel by pixel.
    fn adapted(&self) -> Vec<f64> {
        let adaptor = self.adaptor();
        let pixels = self.student.chunks(self.extents.student[2]);
        let adapt = |pixel: &[f64]| -> Vec<f64> {
            let product = |row: &Vec<f64>| row.iter().zip(pixel).map(|(a, b)| a * b).sum();
            adaptor.iter().map(product).collect()
        };
        pixels.flat_map(adapt).collect()
    }

    /// The terms with `weight`, in a step of this `seed`.
    fn run(&self, weight: f64, seed: u64) -> Found {
        let Extents {
            student, teacher, ..
        } = self.extents;
        let (tape, shape) = (Tape::new(), self.extents.shape(student));
        let grads = upload(&vec![0.0; self.student.len()], &shape, DType::F64);
        let ours = tape
            .leaf(&upload(&self.student, &shape, DType::F64), &grads)
            .unwrap();
        let none = || {
            upload(
                &vec![0.0; 2 * self.extents.images],
                &[self.extents.images, 2],
                DType::F64,
            )
        };
        let answers = Answers {
            logits: Var::constant(none()),
            stages: vec![("ours".into(), ours)],
        };
        let theirs = upload(&self.teacher, &self.extents.shape(teacher), DType::F64);
        let theirs = Answers {
            logits: none(),
            stages: vec![("theirs".into(), theirs)],
        };
        let lesson = Lesson {
            tape: &tape,
            student: &answers,
            teachers: &[Some(theirs)],
            labels: &Labels::new(&client(), &vec![0; self.extents.images], 2).unwrap(),
            mixed: None,
            epoch: 1,
            seed,
        };
        let pass = Pass::new(&tape, &self.aids, Mode::Train);
        let mut loss = Loss::default();
        self.method
            .on_features(&lesson, weight, &pass, &mut loss)
            .unwrap();
        let outputs: Vec<_> = loss
            .outputs
            .iter()
            .map(|(value, weight)| (value, *weight))
            .collect();
        ghostlight_kernels::pointwise::fill(self.aids.grads(), 0.0);
        tape.backward(&outputs).unwrap();
        Found {
            value: read(loss.terms)
                .unwrap()
                .iter()
                .map(|(_, value)| value)
                .sum(),
            watched: read(loss.watched).unwrap(),
            of_student: download(&grads),
            of_aids: download(self.aids.grads()),
        }
    }
}

/// The kernels' options for `align`.
fn options(align: &Align, seed: u64) -> FlipOptions {
    let tau = align.tau;
    FlipOptions {
        group: group(align.group, seed),
        selection: match align.select {
            Select::Hard => Selection::Hard,
            Select::SoftMin => Selection::SoftMin { tau },
            Select::Attention => Selection::Attention {
                tau,
                detached: false,
            },
            Select::AttentionDetached => Selection::Attention {
                tau,
                detached: true,
            },
            Select::Mixed => Selection::Mixed { tau },
        },
        normalisation: match align.norm {
            AlignNorm::None => Normalisation::None,
            AlignNorm::Sample => Normalisation::Sample,
            AlignNorm::Position => Normalisation::Position,
        },
    }
}

const GROUPS: [AlignGroup; 7] = [
    AlignGroup::D4,
    AlignGroup::Flips,
    AlignGroup::Rotations,
    AlignGroup::Identity,
    AlignGroup::Random,
    AlignGroup::HorizontalFlip,
    AlignGroup::HalfTurn,
];

const SELECTIONS: [(Select, AlignNorm); 5] = [
    (Select::Hard, AlignNorm::Sample),
    (Select::SoftMin, AlignNorm::Position),
    (Select::Attention, AlignNorm::None),
    (Select::AttentionDetached, AlignNorm::Sample),
    (Select::Mixed, AlignNorm::None),
];

#[test]
fn the_adapted_map_meets_the_teachers_as_the_definition_says() {
    if !has_f64_exp() {
        return;
    }
    for group in GROUPS {
        for (select, norm) in SELECTIONS {
            let align = Align {
                weight: 3.0,
                group,
                select,
                norm,
                ..Align::default()
            };
            let scene = Scene::new(LEVEL, align.clone());
            let shape = LEVEL.shape(LEVEL.teacher);
            let (ours, theirs) = (scene.adapted(), &scene.teacher);
            let [a, b] = [&ours, theirs].map(|map| upload(map, &shape, DType::F64));
            let problem = FlipProblem::new(&a, &b, &options(&align, 8)).unwrap();
            let wanted: f64 = flip_align(&problem, &ours, theirs).loss.iter().sum();
            let found = scene.run(0.5, 8).value;
            let close = (found - 1.5 * wanted).abs() < 1e-9;
            assert!(
                close,
                "{group:?} {select:?}: {found}, wanted 1.5 times {wanted}"
            );
        }
    }
}

#[test]
fn the_identity_as_a_control_is_plain_regression() {
    if !has_f64_exp() {
        return;
    }
    let align = Align {
        group: AlignGroup::Identity,
        norm: AlignNorm::None,
        ..Align::default()
    };
    let extents = Extents {
        student: LEVEL.teacher,
        ..LEVEL
    };
    let scene = Scene::new(extents, align).unadapted();
    let pairs = scene.student.iter().zip(&scene.teacher);
    let squares = pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    let wanted = squares / scene.student.len() as f64;
    assert!((scene.run(1.0, 1).value - wanted).abs() < 1e-12);
}

#[test]
fn a_map_is_averaged_where_it_shrinks_and_interpolated_where_it_grows() {
    if !has_f64_exp() {
        return;
    }
    let align = || Align {
        group: AlignGroup::Identity,
        norm: AlignNorm::None,
        ..Align::default()
    };
    let of = |student, teacher| {
        let extents = Extents {
            images: 1,
            student: [student, student, 1],
            teacher: [teacher, teacher, 1],
        };
        let mut scene = Scene::new(extents, align()).unadapted();
        scene.student = (0..student * student).map(|i| i as f64).collect();
        scene
    };
    // Rows of 0 to 3, 4 to 7, 8 to 11 and 12 to 15.
    let mut shrunk = of(4, 2);
    shrunk.teacher = vec![2.5, 4.5, 10.5, 12.5];
    assert!(shrunk.run(1.0, 1).value.abs() < 1e-24);
    // Half-pixel centres: a quarter and three quarters of the way from 0 to 1 down, of 0 to 2 across.
    let mut grown = of(2, 4);
    let at = [0.0, 0.25, 0.75, 1.0];
    grown.teacher = at.iter().flat_map(|y| at.map(|x| x + 2.0 * y)).collect();
    assert!(grown.run(1.0, 1).value.abs() < 1e-24);
}

#[test]
fn the_gradient_reaches_the_students_map_and_the_adaptor() {
    if !has_f64_exp() {
        return;
    }
    for (select, norm) in SELECTIONS {
        for (batch_norm, student) in [
            (false, [4, 4, 3]),
            (true, [4, 4, 3]),
            (false, [8, 8, 3]),
            (false, [2, 2, 3]),
        ] {
            // Constant weights have no gradient to compare differences with.
            if select == Select::AttentionDetached {
                continue;
            }
            let align = Align {
                select,
                norm,
                batch_norm,
                ..Align::default()
            };
            let mut scene = Scene::new(Extents { student, ..LEVEL }, align);
            let found = scene.run(0.7, 1);
            let (base, step) = (scene.student.clone(), 1e-6);
            let along = values(21, base.len());
            let mut moved = |by: f64| {
                scene.student = base.iter().zip(&along).map(|(x, d)| x + by * d).collect();
                scene.run(0.7, 1).value
            };
            let numeric = (moved(step) - moved(-step)) / (2.0 * step);
            let analytic: f64 = found
                .of_student
                .iter()
                .zip(&along)
                .map(|(g, d)| g * d)
                .sum();
            let what = format!("{select:?} {norm:?} {batch_norm} {student:?}");
            assert!(
                (numeric - analytic).abs() < 1e-6,
                "{what}: {analytic}, differences give {numeric}"
            );
            scene.student = base;
            let along = values(22, found.of_aids.len());
            let moved = |by: f64| {
                let shift: Vec<f64> = along.iter().map(|d| by * d).collect();
                let shift = upload(&shift, &[shift.len()], DType::F64);
                ghostlight_kernels::pointwise::add_into(scene.aids.values(), &shift).unwrap();
                scene.run(0.7, 1).value
            };
            let (up, down) = (moved(step), moved(-2.0 * step));
            let numeric = (up - down) / (2.0 * step);
            let analytic: f64 = found.of_aids.iter().zip(&along).map(|(g, d)| g * d).sum();
            assert!(
                (numeric - analytic).abs() < 1e-6,
                "{what}: {analytic}, differences give {numeric}"
            );
            assert!(found.of_aids.iter().any(|g| g.abs() > 1e-4), "{what}");
        }
    }
}

#[test]
fn chance_chooses_anew_in_each_step_and_alike_when_it_is_repeated() {
    if !has_f64_exp() {
        return;
    }
    let align = Align {
        group: AlignGroup::Random,
        ..Align::default()
    };
    let extents = Extents {
        images: 16,
        ..LEVEL
    };
    let scene = Scene::new(extents, align);
    let [once, again, other] = [4, 4, 5].map(|seed| scene.run(1.0, seed));
    assert_eq!(once.watched, again.watched);
    assert_eq!(once.value.to_bits(), again.value.to_bits());
    assert_ne!(once.watched, other.watched);
}

#[test]
fn the_shares_of_the_transforms_add_up_to_one_and_name_the_one_that_fits() {
    if !has_f64_exp() {
        return;
    }
    for group in [
        AlignGroup::D4,
        AlignGroup::Flips,
        AlignGroup::Rotations,
        AlignGroup::Random,
    ] {
        let scene = Scene::new(
            LEVEL,
            Align {
                group,
                ..Align::default()
            },
        );
        let watched = scene.run(1.0, 1).watched;
        let names: Vec<&String> = watched.iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            scene.method.watches().iter().collect::<Vec<_>>(),
            "{group:?}"
        );
        let sum: f64 = watched.iter().map(|(_, share)| share).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{group:?}: {watched:?}");
    }
    let extents = Extents {
        student: LEVEL.teacher,
        ..LEVEL
    };
    for transform in Transform::ALL {
        let mut scene = Scene::new(extents, Align::default()).unadapted();
        let elements = scene.student.len() / extents.images;
        let images = scene.student.chunks(elements);
        // The transform that brings the student's map to the teacher's.
        scene.teacher = images
            .flat_map(|map| transformed(transform, map, [4, 4]))
            .collect();
        let found = scene.run(1.0, 1);
        assert!(found.value.abs() < 1e-12, "{transform}: {}", found.value);
        let chosen = found.watched.iter().find(|(_, share)| *share == 1.0);
        assert_eq!(
            chosen.map(|(name, _)| name.clone()),
            Some(transform.to_string())
        );
    }
}

#[test]
fn terms_are_called_by_the_stage_that_tells_them_apart() {
    let names = |pairs: &[(&'static str, &'static str)]| {
        let (mut declarations, align) = (Declarations::default(), Align::default());
        let path = &mut declarations.root();
        let stage = |(i, &(ours, theirs)): (usize, &(&str, &str))| {
            let path = path.at(format_args!("align.{i}"));
            AlignedStage::new(path, &align, (ours, 3), (theirs, [4, 4, 2]))
        };
        let stages = pairs.iter().enumerate().map(stage).collect();
        AlignMethod {
            align: Align::default(),
            stages,
        }
        .feature_terms()
    };
    assert_eq!(names(&[("layer3", "layer2")]), ["align"]);
    let apart = names(&[("layer2", "layer2"), ("layer3", "layer3")]);
    assert_eq!(apart, ["align layer2", "align layer3"]);
    let both = names(&[
        ("layer3", "layer2"),
        ("layer3", "layer3"),
        ("layer1", "stem"),
    ]);
    let wanted = [
        "align layer3 to layer2",
        "align layer3 to layer3",
        "align layer1",
    ];
    assert_eq!(both, wanted);
}
