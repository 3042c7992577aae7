use super::align::{AlignedStage, group};
use super::cosine::Features;
use super::{
    AlignMethod, CosineMethod, DkdMethod, DualTeacherMethod, KdMethod, LabelsMethod, Lesson,
    LogitLoss, Loss, Method,
};
use crate::nn::{Declarations, Mode, Pass, Store};
use crate::recipe::{Align, Compared, Cosine, Distill, Turns};
use crate::zoo::{Architecture, Network, ZooError};
use ghostlight_autodiff::{Client, DType, KernelError};
use ghostlight_kernels::planted;

/// Tells the parameters that methods declare from those of any network of the run.
const AIDS: u64 = 1 << 32;

/// Why a way to teach does not fit the networks.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    /// An architecture, a stage, or the device.
    #[error(transparent)]
    Zoo(#[from] ZooError),
    /// A network without any map to compare.
    #[error("{arch} offers no stage with a map, which the way to teach \"{way}\" compares")]
    NoMap {
        /// The network.
        arch: String,
        /// The way.
        way: String,
    },
    /// Transforms that turn rows into columns, of maps that are not square.
    #[error(
        "the stage {stage:?} of {arch} has maps of {height} x {width}, which distill.align.group = {group:?} cannot turn by a quarter; set it to \"flips\" or \"identity\""
    )]
    NotSquare {
        /// The teacher.
        arch: String,
        /// Its stage.
        stage: String,
        /// Rows of its maps.
        height: usize,
        /// Columns of its maps.
        width: usize,
        /// The group.
        group: String,
    },
}

impl From<KernelError> for WayError {
    fn from(error: KernelError) -> Self {
        Self::Zoo(error.into())
    }
}

/// What a step asks of a teacher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The teacher, counted from 0.
    pub teacher: usize,
    /// The stages to keep; none where logits are enough.
    pub stages: Vec<String>,
}

/// One way to learn: the labels alone, or what a recipe's `[distill]` puts together.
pub struct Way {
    title: String,
    /// `None` for the labels alone.
    distill: Option<Distill>,
    /// Which teachers are listened to, counted from 0.
    listened: Vec<usize>,
    methods: Vec<Box<dyn Method>>,
    /// The parameters of adaptors and projectors, trained with the student and dropped afterwards.
    aids: Option<Store>,
    names: Vec<String>,
    watches: Vec<String>,
}

/// The maps of a network's stages by name: height, width and channels.
type Maps = Vec<(String, [usize; 3])>;

impl Way {
    /// The labels alone, with `smoothing` of the cross-entropy's targets.
    pub fn alone(smoothing: f64) -> Self {
        let labels = LabelsMethod {
            smoothing,
            weight: 1.0,
        };
        Self::of(
            "alone".into(),
            None,
            Vec::new(),
            vec![Box::new(labels)],
            None,
        )
    }

    /// The way `distill` for the student `student`, taught by those of `teachers` that it listens to. The parameters of its own are
    /// initialised from `seed`; `role` tells the students of a run apart.
    ///
    /// # Errors
    /// [`WayError`].
    pub fn new(
        client: &Client,
        distill: &Distill,
        smoothing: f64,
        student: Architecture,
        teachers: &[Architecture],
        (seed, role): (u64, u64),
    ) -> Result<Self, WayError> {
        let listened = distill.listened(teachers.len());
        let mut declarations = Declarations::default();
        let mut methods: Vec<Box<dyn Method>> = vec![Box::new(LabelsMethod {
            smoothing,
            weight: distill.ce_weight,
        })];
        for term in distill.terms() {
            let method: Option<Box<dyn Method>> = match term {
                "kd" => distill.kd.clone().map(|kd| Box::new(KdMethod { kd }) as _),
                "dkd" => distill
                    .dkd
                    .clone()
                    .map(|dkd| Box::new(DkdMethod { dkd }) as _),
                "dual" => {
                    let pair = <[usize; 2]>::try_from(&listened[..]).ok();
                    let both = distill.dual.clone().zip(pair);
                    both.map(|(dual, teachers)| Box::new(DualTeacherMethod { dual, teachers }) as _)
                }
                "cosine" => match &distill.cosine {
                    Some(cosine) => {
                        let teacher = listened[0];
                        let own = (cosine.of == Compared::Features).then(|| {
                            features(
                                distill,
                                cosine,
                                student,
                                (teacher, teachers[teacher]),
                                &mut declarations,
                            )
                        });
                        Some(Box::new(CosineMethod {
                            cosine: cosine.clone(),
                            features: own.transpose()?,
                        }))
                    }
                    None => None,
                },
                _ => match &distill.align {
                    Some(align) => {
                        let teacher = teachers[align.teacher - 1];
                        Some(Box::new(AlignMethod {
                            align: align.clone(),
                            stages: stages(distill, align, student, teacher, &mut declarations)?,
                        }))
                    }
                    None => None,
                },
            };
            methods.extend(method);
        }
        let aids = match declarations.is_empty() {
            true => None,
            false => Some(Store::new(
                client,
                DType::F32,
                declarations,
                seed,
                AIDS + role,
            )?),
        };
        Ok(Self::of(
            distill.title(),
            Some(distill.clone()),
            listened,
            methods,
            aids,
        ))
    }

    fn of(
        title: String,
        distill: Option<Distill>,
        listened: Vec<usize>,
        methods: Vec<Box<dyn Method>>,
        aids: Option<Store>,
    ) -> Self {
        let mut all = LogitLoss::new(&listened, &listened);
        methods
            .iter()
            .for_each(|method| method.on_logits(1.0, &mut all));
        let features = methods.iter().flat_map(|method| method.feature_terms());
        Self {
            names: all.names().into_iter().chain(features).collect(),
            watches: methods.iter().flat_map(|method| method.watches()).collect(),
            title,
            distill,
            listened,
            methods,
            aids,
        }
    }

    /// Its name in files, table and report.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The names of its terms. Not every step has all of them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The names of what it watches beside the loss.
    pub fn watches(&self) -> &[String] {
        &self.watches
    }

    /// The parameters of its own.
    pub fn aids(&self) -> Option<&Store> {
        self.aids.as_ref()
    }

    /// As [`Way::aids`], to go on where a training stopped.
    pub fn aids_mut(&mut self) -> Option<&mut Store> {
        self.aids.as_mut()
    }

    /// The student's stages to keep.
    pub fn student_stages(&self) -> Vec<String> {
        let stages = self.methods.iter().map(|method| method.stages());
        let mut names: Vec<String> = stages.flat_map(|stages| stages.student).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The teachers that terms on logits listen to in epoch `epoch` of `epochs`, counted from 1.
    fn active(&self, epoch: usize, epochs: usize) -> Vec<usize> {
        let in_turn = self.distill.as_ref().map(|distill| distill.turns) == Some(Turns::InTurn);
        match self.listened.len() {
            count if in_turn && count > 1 && !planted::is("turns_are_forgotten") => {
                let turn = (epoch - 1) * count / epochs.max(1);
                vec![self.listened[turn.min(count - 1)]]
            }
            _ => self.listened.clone(),
        }
    }

    /// What epoch `epoch` of `epochs`, counted from 1, asks of whom.
    pub fn needs(&self, epoch: usize, epochs: usize) -> Vec<Need> {
        let mut needs: Vec<Need> = Vec::new();
        let mut logits = LogitLoss::new(&self.listened, &self.active(epoch, epochs));
        self.methods
            .iter()
            .for_each(|method| method.on_logits(1.0, &mut logits));
        needs.extend(logits.asked().map(|teacher| Need {
            teacher,
            stages: Vec::new(),
        }));
        let stages = self
            .methods
            .iter()
            .filter_map(|method| method.stages().teacher);
        for (teacher, stages) in stages {
            let known = needs.iter().position(|need| need.teacher == teacher);
            let known = known.unwrap_or_else(|| {
                needs.push(Need {
                    teacher,
                    stages: Vec::new(),
                });
                needs.len() - 1
            });
            needs[known].stages.extend(stages);
        }
        for need in &mut needs {
            need.stages.sort();
            need.stages.dedup();
        }
        needs
    }

    /// The loss of a batch in an epoch of `epochs`.
    ///
    /// # Errors
    /// Those of the methods.
    pub fn loss(&self, lesson: &Lesson, epochs: usize) -> Result<Loss, KernelError> {
        let ramp = self
            .distill
            .as_ref()
            .map(|distill| distill.weight_at(lesson.epoch));
        let ramp = f64::from(ramp.unwrap_or(1.0));
        let ramp = planted::or("dkd_without_warmup", ramp, 1.0);
        let mut loss = Loss::default();
        let mut logits = LogitLoss::new(&self.listened, &self.active(lesson.epoch, epochs));
        for method in &self.methods {
            method.on_logits(ramp, &mut logits);
            method.weigh(lesson, &mut logits, &mut loss)?;
        }
        logits.apply(lesson, &mut loss)?;
        if let Some(store) = &self.aids {
            let pass = Pass::new(lesson.tape, store, Mode::Train);
            for method in &self.methods {
                method.on_features(lesson, ramp, &pass, &mut loss)?;
            }
        }
        Ok(loss)
    }
}

/// The map of the stage `wanted` of `arch`, or of its last one where none is named.
fn map<'a>(
    way: &Distill,
    arch: Architecture,
    maps: &'a Maps,
    wanted: &str,
) -> Result<&'a (String, [usize; 3]), WayError> {
    let found = match wanted.is_empty() {
        true => maps.last(),
        false => maps.iter().find(|(name, _)| name == wanted),
    };
    found.ok_or_else(|| match maps.is_empty() || wanted.is_empty() {
        true => WayError::NoMap {
            arch: arch.name.to_string(),
            way: way.title(),
        },
        false => WayError::Zoo(ZooError::Stage {
            arch: arch.name.to_string(),
            name: wanted.to_string(),
            stages: maps.iter().map(|(name, _)| name.clone()).collect(),
        }),
    })
}

fn features(
    way: &Distill,
    cosine: &Cosine,
    student: Architecture,
    (index, teacher): (usize, Architecture),
    declarations: &mut Declarations,
) -> Result<Features, WayError> {
    let (ours, theirs) = (Network::maps(student)?, Network::maps(teacher)?);
    let (ours, [_, _, channels]) = map(way, student, &ours, &cosine.student_stage)?;
    let (theirs, [_, _, wanted]) = map(way, teacher, &theirs, &cosine.teacher_stage)?;
    let path = &mut declarations.root();
    Ok(Features::new(
        path.at("cosine"),
        (ours.clone(), *channels),
        index,
        (theirs.clone(), *wanted),
    ))
}

fn stages(
    way: &Distill,
    align: &Align,
    student: Architecture,
    teacher: Architecture,
    declarations: &mut Declarations,
) -> Result<Vec<AlignedStage>, WayError> {
    let (ours, theirs) = (Network::maps(student)?, Network::maps(teacher)?);
    let last = vec![String::new()];
    let [of_student, of_teacher] =
        [&align.student_stages, &align.teacher_stages].map(|names| match names.is_empty() {
            true => &last,
            false => names,
        });
    let mut found = Vec::new();
    for (number, (wanted, of_teacher)) in of_student.iter().zip(of_teacher).enumerate() {
        let (ours, [_, _, channels]) = map(way, student, &ours, wanted)?;
        let (theirs, size) = map(way, teacher, &theirs, of_teacher)?;
        let [height, width, _] = *size;
        if height != width && group(align.group, 0).transposes() {
            return Err(WayError::NotSquare {
                arch: teacher.name.to_string(),
                stage: theirs.clone(),
                height,
                width,
                group: format!("{:?}", align.group).to_lowercase(),
            });
        }
        let path = &mut declarations.root();
        let path = path.at(format_args!("align.{number}"));
        found.push(AlignedStage::new(
            path,
            align,
            (ours, *channels),
            (theirs, *size),
        ));
    }
    Ok(found)
}
