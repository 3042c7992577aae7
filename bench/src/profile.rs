use ghostlight_autodiff::{Client, Cost, Event, Observer, Phase};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The time and work of one operation in one direction, for one output shape.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line {
    /// How often it ran.
    pub count: u32,
    /// Time from the end of the operation before to its own end.
    pub time: Duration,
    /// The work done.
    pub cost: Cost,
}

/// An observer that waits for the device after every operation, so that each one's time is its own.
///
/// Waiting keeps operations from overlapping: the sum is longer than an unobserved step.
pub struct Profile {
    client: Client,
    last: Instant,
    /// What was seen, by operation, direction and shape of the output.
    pub lines: BTreeMap<(String, String), Line>,
}

impl Profile {
    /// Starts the clock.
    pub fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            last: Instant::now(),
            lines: BTreeMap::new(),
        }
    }

    /// Forgets the time since the last operation.
    pub fn restart(&mut self) {
        self.last = Instant::now();
    }
}

impl Observer for Profile {
    fn ran(&mut self, event: Event) {
        // A failed launch shows when the results are read.
        let _ = cubecl::future::block_on(self.client.sync());
        let direction = match event.phase {
            Phase::Forward => "forward",
            Phase::Backward => "backward",
        };
        let key = (
            format!("{} {direction}", event.op),
            format!("{:?}", event.shape),
        );
        let line = self.lines.entry(key).or_default();
        line.count += 1;
        line.time += self.last.elapsed();
        line.cost += event.cost;
        self.last = Instant::now();
    }
}
