use crate::contender::Contender;
use crate::flush::Flush;
use crate::turn::Turn;

/// The first call on a draw of operands may take so long in ms: it compiles.
const FIRST_MS: f64 = 20e3;
/// Any later call may take so long in ms.
const LATER_MS: f64 = 6e3;

/// A peer's contender that gets no time where its calls are so long that timing them would take minutes.
pub struct TimeLimited<'a> {
    inner: Box<dyn Contender + 'a>,
    called: bool,
}

impl<'a> TimeLimited<'a> {
    /// Has patience with `inner`.
    pub fn new(inner: Box<dyn Contender + 'a>) -> Self {
        Self {
            inner,
            called: false,
        }
    }
}

impl Contender for TimeLimited<'_> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn is_slow(&self) -> bool {
        self.inner.is_slow()
    }

    fn load(&mut self, values: &[Vec<f32>]) -> Result<(), String> {
        self.called = false;
        self.inner.load(values)
    }

    fn call(&mut self) -> Result<f64, String> {
        let ms = self.inner.call()?;
        let most = if self.called { LATER_MS } else { FIRST_MS };
        self.called = true;
        if ms > most {
            return Err(format!(
                "one call took {:.1} s, too long to be timed in turns",
                ms / 1e3
            ));
        }
        Ok(ms)
    }

    fn forget(&mut self) -> Result<(), String> {
        self.inner.forget()
    }

    fn outputs(&mut self) -> Result<Vec<Vec<f64>>, String> {
        self.inner.outputs()
    }

    fn operands(&mut self) -> Result<Vec<Vec<f64>>, String> {
        self.inner.operands()
    }

    fn turn(&mut self, turn: Turn, flush: &mut Flush) -> Result<Vec<f64>, String> {
        self.inner.turn(turn, flush)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what it is told.
    struct Slow(Vec<f64>);

    impl Contender for Slow {
        fn name(&self) -> &str {
            "slow"
        }

        fn load(&mut self, _: &[Vec<f32>]) -> Result<(), String> {
            Ok(())
        }

        fn call(&mut self) -> Result<f64, String> {
            self.0.pop().ok_or_else(|| "called too often".into())
        }

        fn outputs(&mut self) -> Result<Vec<Vec<f64>>, String> {
            Ok(Vec::new())
        }

        fn operands(&mut self) -> Result<Vec<Vec<f64>>, String> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_first_call_may_compile_and_a_second_one_may_not() {
        let mut slow = TimeLimited::new(Box::new(Slow(vec![7e3, 9e3])));
        assert_eq!(slow.call(), Ok(9e3));
        let reason = slow.call().expect_err("it takes 7 s");
        assert!(reason.contains("took 7.0 s"), "{reason}");
    }

    #[test]
    fn new_operands_may_compile_again() {
        let mut slow = TimeLimited::new(Box::new(Slow(vec![5e3, 5e3])));
        assert_eq!(slow.call(), Ok(5e3));
        assert_eq!(slow.load(&[]), Ok(()));
        assert_eq!(slow.call(), Ok(5e3));
    }

    #[test]
    fn a_first_call_of_minutes_is_the_last() {
        let mut slow = TimeLimited::new(Box::new(Slow(vec![60e3])));
        assert!(slow.call().is_err());
    }
}
