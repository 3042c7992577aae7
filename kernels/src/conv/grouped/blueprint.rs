use super::GroupedProblem;
use super::patch::{GroupPacking, PatchLaunch};
use crate::lanes::Lanes;
use crate::{Client, Tensor, launch};

/// The largest group that shares a vector with others: past it a vector spans one group or a part of one.
const LARGEST_SHARED: usize = 8;

/// How a CPU cuts the output channels into chunks, each of which reads a share of the input channels, and those into vectors.
pub(super) struct Blueprint {
    pub lanes: Lanes,
    /// Source and target channels of a chunk.
    pub chunk: [usize; 2],
    /// Chunks of a pixel.
    pub chunks: usize,
    /// Vectors of a chunk.
    pub vectors: usize,
    /// Input channels that an output channel reads.
    pub inputs: usize,
    /// Source and target channels in all.
    pub channels: [usize; 2],
    pub packing: GroupPacking,
    /// Lanes of a vector that hold channels of its chunk.
    pub used: usize,
    /// Elements of the overlapping loads and stores that a part of a vector takes.
    pub piece: usize,
}

impl Blueprint {
    /// For `problem` with groups of `[source, target]` channels; `tensors` are read and written in vectors of target channels.
    pub fn new(problem: &GroupedProblem, group: [usize; 2], tensors: &[&Tensor]) -> Self {
        let (client, dtype) = (tensors[0].client(), problem.dtype);
        let [source, target] = group;
        let channels = group.map(|channels| channels * problem.groups);
        let lanes = |channels| Lanes::of(client, dtype, channels, tensors);
        let shared = lanes(channels[1]);
        if source == target
            && target <= LARGEST_SHARED
            && target.is_power_of_two()
            && target < shared.width
        {
            return Self {
                lanes: shared,
                chunk: [shared.width; 2],
                chunks: shared.vectors(),
                vectors: 1,
                inputs: source,
                channels,
                packing: GroupPacking::Shuffled(source),
                used: shared.width,
                piece: shared.width,
            };
        }
        // A group narrower than the widest vector takes one with idle lanes; a wider one, vectors of which the last overlaps.
        let widest = launch::widest(client, dtype);
        let lanes = lanes(target.next_power_of_two().min(target.max(widest)));
        let used = target.min(lanes.width);
        Self {
            lanes,
            chunk: group,
            chunks: problem.groups,
            vectors: target.div_ceil(lanes.width),
            inputs: source,
            channels,
            packing: GroupPacking::Plain,
            used,
            piece: 1 << used.ilog2(),
        }
    }

    /// Whether two chunks share channels, so that one unit must write both.
    pub fn overlaps(&self) -> bool {
        self.chunks * self.chunk[1] != self.channels[1]
    }

    /// Elements from one pixel of a patch of `chunks` chunks to the next. Chunks that are groups lie side by side, an odd multiple of
    /// 16 elements in all, so that neighbouring pixels fall into different sets of a cache; others lie one behind the other.
    pub fn pitch(&self, chunks: usize) -> usize {
        match self.packing {
            GroupPacking::Plain => odd(chunks * self.chunk[0]),
            GroupPacking::Shuffled(_) => self.packing.parts() * self.lanes.width,
        }
    }

    /// Elements that filling a patch copies at a time: of `chunks` chunks, at the least.
    pub fn copied(&self, client: &Client, problem: &GroupedProblem, chunks: usize) -> usize {
        let count = chunks * self.chunk[0];
        launch::widest(client, problem.dtype).min(1 << count.ilog2())
    }

    /// A patch of `rows` rows of `width` pixels of `chunks` chunks, with room for `behind` elements to be read past it.
    pub fn patch(
        &self,
        rows: usize,
        width: usize,
        chunks: usize,
        behind: usize,
    ) -> (usize, PatchLaunch) {
        let pitch = self.pitch(chunks);
        let [share, _] = self.chunk;
        let [channels, _] = self.channels;
        let whole = rows * width * pitch;
        let (chunk, parts, len) = match self.packing {
            GroupPacking::Plain => (share, 1, whole),
            GroupPacking::Shuffled(_) => (odd(whole), chunks, chunks * odd(whole)),
        };
        let len = (len + behind).next_multiple_of(16);
        (
            len,
            PatchLaunch::new(width, pitch, len, chunk, parts, share, channels),
        )
    }
}

/// An odd multiple of 16 elements, at least `len`.
fn odd(len: usize) -> usize {
    (len.div_ceil(16) | 1) * 16
}
