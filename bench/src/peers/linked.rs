use crate::contender::Contender;
use crate::flush::Flush;
use crate::turn::Turn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Brings one result of a call into our layout.
pub type Read = Box<dyn Fn() -> Result<Vec<f64>, String>>;
/// The part of a call that is timed, to the end of its work.
pub type Timed = Box<dyn FnOnce() -> Result<Vec<Read>, String>>;
/// Does what a call needs and the clock must not see, such as the forward pass before a backward one.
pub type Work = Box<dyn FnMut() -> Result<Timed, String>>;
type Open = Box<dyn Fn(&[Vec<f32>]) -> Result<Work, String>>;

/// A contender of a library that is linked into the bench.
pub struct Linked {
    name: &'static str,
    open: Open,
    work: Option<Work>,
    results: Vec<Read>,
}

impl Linked {
    /// A contender that `open` makes from a draw of the operands.
    pub fn new(
        name: &'static str,
        open: impl Fn(&[Vec<f32>]) -> Result<Work, String> + 'static,
    ) -> Self {
        Self {
            name,
            open: Box::new(open),
            work: None,
            results: Vec::new(),
        }
    }

    fn timed(&mut self, before: &mut dyn FnMut()) -> Result<f64, String> {
        let work = self.work.as_mut().ok_or("nothing was loaded")?;
        self.results.clear();
        let timed = caught(work)?;
        before();
        let start = Instant::now();
        self.results = caught(timed)?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }
}

impl Contender for Linked {
    fn name(&self) -> &str {
        self.name
    }

    fn is_slow(&self) -> bool {
        self.name != super::burn::FLEX
    }

    fn load(&mut self, values: &[Vec<f32>]) -> Result<(), String> {
        self.work = None;
        self.work = Some(caught(|| (self.open)(values))?);
        Ok(())
    }

    fn call(&mut self) -> Result<f64, String> {
        self.timed(&mut || ())
    }

    fn outputs(&mut self) -> Result<Vec<Vec<f64>>, String> {
        self.results.iter().map(caught).collect()
    }

    // These libraries' tensors are values: no operation writes to them.
    fn operands(&mut self) -> Result<Vec<Vec<f64>>, String> {
        Ok(Vec::new())
    }

    fn turn(&mut self, turn: Turn, flush: &mut Flush) -> Result<Vec<f64>, String> {
        // The caches are flushed after what is not timed, which would fill them again.
        let mut before = || {
            if turn.cold {
                flush.run();
            }
        };
        let calls = |count: usize| {
            let times: Result<Vec<f64>, String> =
                (0..count).map(|_| self.timed(&mut before)).collect();
            Ok(times?.iter().sum::<f64>() / count as f64)
        };
        turn.take(calls, || ())
    }
}

/// What `run` returns, or what it panicked with: a library's assertion must not end the run.
fn caught<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_the_reason_of_a_blank() {
        let mut linked = Linked::new("panics", |_| panic!("no such kernel"));
        assert_eq!(
            linked.load(&[]),
            Err("panicked: no such kernel".to_string())
        );
        assert!(linked.call().is_err());
    }
}
