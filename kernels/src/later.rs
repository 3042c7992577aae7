//! Results that are read while the next launches are made.
//!
//! To read waits for all that was launched before, which on a CPU stops the launching thread until the device is idle. A thread of its own
//! therefore asks and waits; who wants the result finds it there one step later.

use crate::memory::Memory;
use crate::{Client, KernelError, planted};
use cubecl::server::Handle;
use cubecl_common::bytes::Bytes;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, Sender, channel};

type Answer = Result<Bytes, String>;
type Convert<T> = dyn FnOnce(&[u8]) -> Result<T, KernelError>;

/// A result on its way to the host.
pub struct Later<T> {
    client: Client,
    /// Nobody may write over what is read.
    memory: Memory,
    answer: Option<Receiver<Answer>>,
    convert: Box<Convert<T>>,
}

impl<T> Later<T> {
    /// Begins to read `memory`, of what was launched so far.
    pub(crate) fn begin(
        client: &Client,
        memory: &Memory,
        convert: impl FnOnce(&[u8]) -> Result<T, KernelError> + 'static,
    ) -> Self {
        let (sender, answer) = channel();
        let question = Question {
            client: client.clone(),
            handle: memory.handle(),
            sender,
        };
        if planted::is("later_waits_at_once") {
            let _ = read(client, memory.handle());
        }
        let asked = READER.as_ref().is_some_and(|it| it.send(question).is_ok());
        Self {
            client: client.clone(),
            memory: memory.clone(),
            answer: asked.then_some(answer),
            convert: Box::new(convert),
        }
    }

    /// The result, once it is there.
    ///
    /// # Errors
    /// [`KernelError::Device`] when a launch before this failed or the copy does.
    pub fn wait(self) -> Result<T, KernelError> {
        let found = self.answer.and_then(|answer| answer.recv().ok());
        // Where the reader could not be asked, or did not survive the question.
        let found = found.unwrap_or_else(|| read(&self.client, self.memory.handle()));
        (self.convert)(&found.map_err(KernelError::Device)?)
    }
}

struct Question {
    client: Client,
    handle: Handle,
    sender: Sender<Answer>,
}

fn read(client: &Client, handle: Handle) -> Answer {
    client.read_one(handle).map_err(|error| error.to_string())
}

/// The thread that waits; none where the system has no thread left.
static READER: LazyLock<Option<Sender<Question>>> = LazyLock::new(|| {
    let (sender, questions) = channel::<Question>();
    let thread = std::thread::Builder::new().name("results".into());
    let answers = move || {
        for Question {
            client,
            handle,
            sender,
        } in questions
        {
            // What panics here panics where the answer is waited for, too.
            if let Ok(answer) = catch_unwind(AssertUnwindSafe(|| read(&client, handle))) {
                // Nobody may want it any more.
                let _ = sender.send(answer);
            }
        }
    };
    thread.spawn(answers).ok().map(|_| sender)
});
