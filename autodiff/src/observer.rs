use ghostlight_kernels::{Cost, Tensor};

/// Which direction an operation ran in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The forward pass.
    Forward,
    /// The backward pass.
    Backward,
}

/// One operation that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The operation's name.
    pub op: &'static str,
    /// The direction.
    pub phase: Phase,
    /// The shape of the operation's output.
    pub shape: Vec<usize>,
    /// The shapes of its inputs; none in the backward pass, which has let go of them.
    pub inputs: Vec<Vec<usize>>,
    /// The work done.
    pub cost: Cost,
}

/// Sees every operation that runs under a tape, in order, recorded or not: the one source of MAC tables, profiles and rooflines.
pub trait Observer {
    /// Shown the result of each operation, before [`Observer::ran`]: its output forwards, and backwards the output's gradient, which it was
    /// given. Nobody looks unless this is overridden.
    fn saw(&mut self, _event: &Event, _result: &Tensor) {}

    /// Called after each operation was launched.
    fn ran(&mut self, event: Event);
}

/// Collects the events.
impl Observer for Vec<Event> {
    fn ran(&mut self, event: Event) {
        self.push(event);
    }
}
