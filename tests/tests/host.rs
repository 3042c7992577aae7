//! What passes between host and device: memory that a device takes over, and results that are read later.

use ghostlight_kernels::launch::is_cpu;
use ghostlight_kernels::pointwise::{add, fill};
use ghostlight_kernels::{Client, DType, Later, Staged, Staging, Tensor};
use ghostlight_tests::client;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// The system's allocator, which counts what each thread asks it for.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: it hands on to the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|it| it.set(it.get() + layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that `call` asks for on this thread.
fn allocated<T>(call: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATED.get();
    let result = call();
    (result, ALLOCATED.get() - before)
}

const LEN: usize = 1 << 20;
const BYTES: usize = 4 * LEN;

fn staged(staging: &Staging, seed: f32) -> Staged {
    let mut values = staging.room(LEN);
    let numbers = (0..).map(|i| seed + i as f32);
    values.iter_mut().zip(numbers).for_each(|(to, v)| *to = v);
    values
}

fn is_fenced() -> bool {
    std::env::var_os("GHOSTLIGHT_FENCED").is_some()
}

#[test]
fn a_device_takes_over_memory_without_a_copy_on_this_thread_and_gives_it_back() {
    let (client, staging) = (client(), Staging::new());
    let mut memory = None;
    for step in 0..4 {
        let values = staged(&staging, step as f32);
        let at = values.as_ptr();
        let (tensor, bytes) = allocated(|| Tensor::from_staged(&client, values, &[LEN]));
        let found = tensor.and_then(|it| it.to_f32()).expect("taken over");
        assert!(found.iter().zip(0..).all(|(&v, i)| v == (step + i) as f32));
        // Fences are built around a copy.
        if !is_fenced() {
            assert!(
                bytes < BYTES / 64,
                "{bytes} bytes were allocated for {BYTES}"
            );
            assert_eq!(
                *memory.get_or_insert(at),
                at,
                "step {step} has other memory"
            );
        }
    }
}

#[test]
fn to_copy_takes_an_allocation_of_that_size() {
    let (client, values) = (client(), vec![1.0; LEN]);
    let (tensor, bytes) = allocated(|| Tensor::from_f32(&client, &values, &[LEN]));
    tensor.expect("copied");
    // And no second one, but around fences.
    assert!(
        bytes >= BYTES && (is_fenced() || bytes < BYTES + BYTES / 64),
        "{bytes}"
    );
}

#[test]
fn what_is_shorter_than_a_vector_and_what_is_empty_are_taken_over_too() {
    let (client, staging) = (client(), Staging::new());
    for len in [0, 1, 5, 15, 16, 17] {
        let mut values = staging.room(len);
        values.fill(0.5);
        let tensor = Tensor::from_staged(&client, values, &[len]).expect("taken over");
        assert_eq!(tensor.to_f32().expect("read"), vec![0.5; len]);
    }
    let error = Tensor::from_staged(&client, staging.room(5), &[6]).expect_err("five are no six");
    assert!(error.to_string().contains('6'), "{error}");
}

fn constant(client: &Client, value: f32) -> Tensor {
    Tensor::from_f32(client, &[value; 1000], &[1000]).expect("a tensor")
}

#[test]
fn what_is_read_later_is_what_was_launched_before_and_nothing_after() {
    let client = client();
    let (one, two) = (constant(&client, 1.0), constant(&client, 2.0));
    let mut results = Vec::new();
    for _ in 0..50 {
        let sum = add(&one, &two).expect("a sum");
        results.push(sum.to_f64_later().expect("begun"));
        // Whoever reads later shares the memory: nobody may write in place, and the pool gives it to nobody else.
        assert!(!sum.is_alone());
        drop(sum);
        let other = add(&two, &two).expect("a sum");
        fill(&other, 9.0);
    }
    for later in results {
        assert_eq!(later.wait().expect("read"), [3.0; 1000]);
    }
}

#[test]
fn who_reads_later_does_not_wait() {
    let client = client();
    // Other devices are slower, or not there.
    if !is_cpu(&client) {
        return;
    }
    let large = Tensor::empty(&client, &[16 << 20], DType::F32);
    let share = |_| {
        (0..4).for_each(|i| fill(&large, f64::from(i)));
        let start = Instant::now();
        let later = large.slice(0, &[1]).and_then(|it| it.to_f64_later());
        let begun = start.elapsed();
        assert_eq!(later.and_then(Later::wait).expect("read"), [3.0]);
        let whole = start.elapsed();
        // A launch now and then waits for those before it: then nothing is left to wait for.
        let waited = whole > Duration::from_millis(2);
        waited.then(|| begun.as_secs_f64() / whole.as_secs_f64())
    };
    // One of some: the system may take the core away at any time.
    let least = (0..12).filter_map(share).reduce(f64::min);
    assert!(
        least.is_some_and(|it| it < 0.3),
        "{least:?} of the time is spent before the wait"
    );
}

#[test]
fn windows_and_nothing_are_read_later_as_they_are_read_at_once() {
    let client = client();
    let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let whole = Tensor::from_f32(&client, &values, &[2, 2, 1, 6]).expect("a tensor");
    let none = Tensor::from_f32(&client, &[], &[0]).expect("a tensor");
    for tensor in [whole.window(2, 3).expect("a window"), whole, none] {
        let later = tensor.to_f64_later().expect("begun");
        assert_eq!(later.wait().expect("read"), tensor.to_f64().expect("read"));
    }
}

#[test]
fn several_threads_read_later_at_once() {
    let read = |value: f32| {
        let client = client();
        for _ in 0..20 {
            let tensor = constant(&client, value);
            let later = tensor.to_f64_later().expect("begun");
            assert_eq!(later.wait().expect("read"), [f64::from(value); 1000]);
        }
    };
    std::thread::scope(|scope| {
        for value in [1.0, 2.0, 3.0] {
            scope.spawn(move || read(value));
        }
    });
}
