use serde::{Deserialize, Serialize};

use ghostlight_autodiff::{Client, DType};
use ghostlight_kernels::launch;

/// What decides a run's bits beside its recipe and its images: the program, and the device that runs the kernels.
///
/// The number of cores is no part of it: the order of every sum is a function of the problem alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The program's version.
    pub version: String,
    /// The device as it names itself.
    pub device: String,
    /// What kernels are compiled for, as the runtime calls it.
    pub target: String,
    /// Elements of the widest vector of f32.
    pub vector_width: usize,
}

impl Platform {
    /// This program on the device behind `client`.
    pub fn of(client: &Client) -> Self {
        let identity = &client.properties().identity;
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            device: identity.name.clone(),
            target: identity.fingerprint.clone(),
            vector_width: launch::widest(client, DType::F32),
        }
    }

    /// What is different now, as a phrase; `None` if nothing is.
    pub fn change(&self, now: &Self) -> Option<String> {
        let version = |it: &Self| format!("ghostlight {}", it.version);
        let width = |it: &Self| format!("vectors of {} elements", it.vector_width);
        let changes: Vec<String> = [
            (version(self), version(now)),
            (self.device.clone(), now.device.clone()),
            (self.target.clone(), now.target.clone()),
            (width(self), width(now)),
        ]
        .into_iter()
        .filter(|(then, now)| then != now)
        .map(|(then, now)| format!("{then} then, {now} now"))
        .collect();
        (!changes.is_empty()).then(|| changes.join("; "))
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ghostlight {} on {} ({}, vectors of {} elements)",
            self.version, self.device, self.target, self.vector_width
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_what_was_and_what_is() {
        let then = Platform {
            version: "0.1.0".into(),
            device: "Xeon".into(),
            target: "cpu_x86_64".into(),
            vector_width: 16,
        };
        assert_eq!(then.change(&then), None);
        assert_eq!(
            then.to_string(),
            "ghostlight 0.1.0 on Xeon (cpu_x86_64, vectors of 16 elements)"
        );
        let now = Platform {
            version: "0.2.0".into(),
            vector_width: 8,
            ..then.clone()
        };
        assert_eq!(
            then.change(&now).unwrap(),
            "ghostlight 0.1.0 then, ghostlight 0.2.0 now; vectors of 16 elements then, vectors of 8 elements now"
        );
    }
}
