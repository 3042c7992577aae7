use crate::{dtypes, dtypes_with_exp, with_halves};
use ghostlight_autodiff::Function;
use ghostlight_autodiff::check::{Check, CheckError, values};
use ghostlight_kernels::{Client, DType};
use std::fmt::Debug;
use std::fmt::Write;

/// Problems of one operation that share its comptime variants: compiling one takes as long as checking a hundred problems.
const OF_A_FEW_VARIANTS: u64 = 1000;
/// Choices of each option within them.
const VARIANTS: usize = 2;
/// Channels: below a vector, whole vectors, and with a tail.
const CHANNELS: [usize; 10] = [1, 2, 3, 4, 8, 10, 16, 20, 33, 48];

/// What the numbers of a problem are like.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Between -1 and 1.
    Reals,
    /// From -4 to 4: ties and zeros of both signs.
    Integers,
    /// Reals, times this.
    Scaled(f64),
    /// All the same.
    Equal,
    /// Most of them 0.
    Sparse,
    /// Reals, with one in an operand that is not finite.
    Spoiled(f64),
}

/// A source of random problems: the same seed, operation and number draw the same one.
pub struct Draw {
    seed: u64,
    variants: u64,
    drawn: u64,
    kind: Kind,
    spoiled: bool,
    /// What each extent is kept to, in the order in which they are drawn: how a problem is made smaller.
    caps: Vec<usize>,
    /// The least that each extent may be, and what it is.
    extents: Vec<[usize; 2]>,
    words: String,
}

/// What says whether a problem is solved rightly.
type Verdict = Box<dyn FnOnce(&Client) -> Result<(), CheckError>>;

/// One problem, ready to be checked.
pub struct Problem {
    /// Extents, options and kind of numbers, in words.
    pub words: String,
    /// The least and the present value of each extent.
    pub extents: Vec<[usize; 2]>,
    check: Verdict,
}

impl Problem {
    /// Checks it in one element type and one circumstance.
    ///
    /// # Errors
    /// Those of [`Check::run`].
    pub fn check(self, client: &Client) -> Result<(), CheckError> {
        (self.check)(client)
    }
}

/// A number that depends on all of `numbers`.
fn mixed(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, |state, number| {
        let bits = values(state ^ number.rotate_left(17), 2);
        bits[0].to_bits() ^ bits[1].to_bits().rotate_left(32)
    })
}

impl Draw {
    /// Problem number `case` of the operation `name`, its extents kept to `caps`.
    pub fn new(seed: u64, name: &str, case: u64, caps: &[usize]) -> Self {
        let name = mixed(name.bytes().map(u64::from));
        let mut draw = Self {
            seed: mixed([seed, name, case]),
            variants: mixed([seed, name, case / OF_A_FEW_VARIANTS, 1]),
            drawn: 0,
            kind: Kind::Reals,
            spoiled: false,
            caps: caps.to_vec(),
            extents: Vec::new(),
            words: String::new(),
        };
        draw.kind = match draw.below(20) {
            0..2 => Kind::Integers,
            2..4 => Kind::Scaled([0.0625, 0.5, 2.0, 8.0][draw.below(4)]),
            4 => Kind::Equal,
            5 => Kind::Sparse,
            6..8 => Kind::Spoiled([f64::NAN, f64::INFINITY, f64::NEG_INFINITY][draw.below(3)]),
            _ => Kind::Reals,
        };
        draw
    }

    /// A number below `count`.
    fn below(&mut self, count: usize) -> usize {
        self.drawn += 1;
        (mixed([self.seed, self.drawn]) % count as u64) as usize
    }

    /// A number of `range`, both ends included: how large something is.
    pub fn extent(&mut self, name: &str, least: usize, most: usize) -> usize {
        let drawn = least + self.below(most - least + 1);
        self.kept(name, least, drawn)
    }

    /// Channels.
    pub fn channels(&mut self, name: &str) -> usize {
        let few = self.few(name, CHANNELS.len(), 2 * VARIANTS);
        let drawn = CHANNELS[few[self.below(few.len())]];
        self.kept(name, 1, drawn)
    }

    /// `drawn`, or what it is kept to.
    fn kept(&mut self, name: &str, least: usize, drawn: usize) -> usize {
        let cap = self.caps.get(self.extents.len()).copied();
        let kept = drawn.min(cap.unwrap_or(drawn)).max(least);
        self.extents.push([least, kept]);
        self.say(name, &kept);
        kept
    }

    /// One of `options`: what is compiled into a kernel, and therefore comes from few for a while.
    pub fn pick<T: Copy + Debug>(&mut self, name: &str, options: &[T]) -> T {
        let few = self.few(name, options.len(), VARIANTS);
        let picked = options[few[self.below(few.len())]];
        self.say(name, &picked);
        picked
    }

    /// One of `options` that no kernel is compiled for.
    pub fn any<T: Copy + Debug>(&mut self, name: &str, options: &[T]) -> T {
        let picked = options[self.below(options.len())];
        self.say(name, &picked);
        picked
    }

    /// The choices below `count` that are open for a while.
    fn few(&self, name: &str, count: usize, most: usize) -> Vec<usize> {
        let name = mixed(name.bytes().map(u64::from));
        let open = |i: u64| (mixed([self.variants, name, i]) % count as u64) as usize;
        (0..most.min(count) as u64).map(open).collect()
    }

    fn say(&mut self, name: &str, what: &impl Debug) {
        let comma = if self.words.is_empty() { "" } else { ", " };
        let _ = write!(self.words, "{comma}{name} {what:?}");
    }

    /// `[n, h, w, c]`.
    pub fn map(&mut self) -> [usize; 4] {
        let n = self.extent("n", 1, 3);
        let [h, w] = [self.extent("h", 1, 9), self.extent("w", 1, 9)];
        [n, h, w, self.channels("c")]
    }

    /// Numbers that every element type holds, of the problem's kind.
    pub fn values(&mut self, len: usize) -> Vec<f64> {
        self.drawn += 1;
        let reals = self.exact(len);
        let each = |map: &dyn Fn(f64) -> f64| reals.iter().map(|&v| map(v)).collect();
        let mut drawn: Vec<f64> = match self.kind {
            Kind::Reals | Kind::Spoiled(_) => reals,
            Kind::Integers => each(&|v| (v * 4.5).trunc()),
            Kind::Scaled(by) => each(&|v| v * by),
            Kind::Equal => vec![reals.first().copied().unwrap_or(0.0); len],
            Kind::Sparse => each(&|v| if v.abs() < 0.9 { 0.0 * v } else { v }),
        };
        if let Kind::Spoiled(by) = self.kind
            && !self.spoiled
            && len > 0
            && self.below(2) == 0
        {
            self.spoiled = true;
            let place = self.below(len);
            drawn[place] = by;
        }
        drawn
    }

    /// Numbers between -1 and 1 that every element type holds, whatever the problem's kind.
    pub fn exact(&mut self, len: usize) -> Vec<f64> {
        self.drawn += 1;
        let drawn = values(mixed([self.seed, self.drawn]), len);
        drawn.iter().map(|v| (v * 128.0).trunc() / 128.0).collect()
    }

    /// From here on, numbers are finite: for an operation that refuses others, or whose own tests say what they come to.
    pub fn finite(&mut self) {
        if matches!(self.kind, Kind::Spoiled(_)) {
            self.kind = Kind::Reals;
        }
    }

    /// A class for each of `batch` samples.
    pub fn labels(&mut self, batch: usize, classes: usize) -> Vec<u32> {
        (0..batch).map(|_| self.below(classes) as u32).collect()
    }

    /// The problem that `check` is of. `with_exp` says that it takes exponentials or logarithms, which not every device has in 64 bits.
    pub fn problem<F: Function>(self, check: Check<'static, F>, with_exp: bool) -> Problem {
        let types = if with_exp {
            dtypes_with_exp()
        } else {
            dtypes()
        };
        self.problem_in(check, &with_halves(types))
    }

    /// The problem that `check` is of, in one of these element types.
    pub fn problem_in<F: Function>(
        mut self,
        check: Check<'static, F>,
        dtypes: &[DType],
    ) -> Problem {
        let few = self.few("element types", dtypes.len(), VARIANTS);
        let dtypes: Vec<DType> = few.into_iter().map(|i| dtypes[i]).collect();
        let mut check = check.dtypes(&dtypes).seed(self.seed >> 8).sampled();
        if self.spoiled {
            check = check.spoiled();
        }
        let kind = self.kind;
        self.say("numbers", &kind);
        Problem {
            words: self.words,
            extents: self.extents,
            check: Box::new(move |client| match check.run(client) {
                // Nothing there is nothing wrong.
                Ok(_) | Err(CheckError::Unprobed(_)) => Ok(()),
                Err(error) => Err(error),
            }),
        }
    }
}
