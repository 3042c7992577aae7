use crate::recipe::{Distill, Recipe};
use crate::summary::Role;
use ghostlight_kernels::planted;
use toml::Table;

/// Roles of teachers after the first lie past those of all students.
const FURTHER_TEACHERS: u64 = 1000;

/// One training that follows from a recipe.
#[derive(Debug, Clone)]
pub struct Planned<'a> {
    /// Its name in files and metrics: `teacher`, `student_alone`, `student2_dkd`.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What the network is in the run.
    pub role: Role,
    /// Which student, counted from 1; none for a teacher.
    pub student: Option<usize>,
    /// The way in which it is taught; none for teachers and lone students.
    pub way: Option<&'a Distill>,
    /// The architecture.
    pub arch: &'a str,
    /// Passes over the training images, at most.
    pub epochs: usize,
    /// What differs from `[train]`.
    pub train: &'a Table,
    /// Seeds initial weights and what is dropped. All trainings of one student have the same: the teachers are the only difference.
    pub seed_role: u64,
}

impl Planned<'_> {
    /// What it is called in a table: `alone`, or the way; none for a teacher.
    pub fn method(&self) -> Option<String> {
        match self.role {
            Role::Teacher => None,
            Role::Alone => Some("alone".to_string()),
            Role::Taught => self.way.map(Distill::title),
        }
    }
}

/// The trainings of a recipe in order: all teachers, then each student alone and by each way.
pub fn plan(recipe: &Recipe) -> Vec<Planned<'_>> {
    let numbered = |word: &str, count: usize, number: usize| match count {
        1 => word.to_string(),
        _ => format!("{word}{number}"),
    };
    let mut trainings = Vec::new();
    for (index, teacher) in recipe.teacher.iter().enumerate() {
        let count = recipe.teacher.len();
        trainings.push(Planned {
            name: numbered("teacher", count, index + 1),
            title: match count {
                1 => "teacher".to_string(),
                _ => format!("teacher {}", teacher.arch),
            },
            role: Role::Teacher,
            student: None,
            way: None,
            arch: &teacher.arch,
            epochs: teacher.epochs,
            train: &teacher.train,
            seed_role: match index {
                0 => 0,
                _ => FURTHER_TEACHERS + index as u64,
            },
        });
    }
    for (index, student) in recipe.student.iter().enumerate() {
        let count = recipe.student.len();
        let name = numbered("student", count, index + 1);
        let word = match count {
            1 => "student".to_string(),
            _ => student.arch.clone(),
        };
        let ways = std::iter::once(None).chain(recipe.distill.iter().map(Some));
        for (number, way) in ways.enumerate() {
            let apart = planted::or("students_start_apart", 0, 100 * number as u64);
            trainings.push(Planned {
                name: match way {
                    None => format!("{name}_alone"),
                    Some(way) => format!("{name}_{}", way.title()),
                },
                title: match way {
                    None => format!("{word} alone"),
                    Some(way) => format!("{word} by {}", way.title()),
                },
                role: match way {
                    None => Role::Alone,
                    Some(_) => Role::Taught,
                },
                student: Some(index + 1),
                way,
                arch: &student.arch,
                epochs: student.epochs,
                train: &student.train,
                seed_role: 1 + index as u64 + apart,
            });
        }
    }
    trainings
}
