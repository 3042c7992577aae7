use super::{Kernel, Profile};
use ghostlight_autodiff::Phase;
use serde_json::{Value, json};
use std::time::Duration;

/// Rows of the trace.
const HOST: u32 = 1;
const OPERATIONS: u32 = 2;
const DEVICE: u32 = 3;

/// `profile` in the Trace Event Format that Perfetto and `chrome://tracing` open: what the host does, the operations, the kernels of the
/// device, and the bytes that are held, over time in microseconds.
///
/// Format: "Trace Event Format" of the Chromium project: complete events (`X`), counters (`C`) and names (`M`).
pub fn trace(profile: &Profile, name: &str) -> Value {
    let mut events = vec![metadata("process_name", 0, name)];
    for (row, title) in [
        (HOST, "host"),
        (OPERATIONS, "operations"),
        (DEVICE, "device"),
    ] {
        events.push(metadata("thread_name", row, title));
    }
    for span in &profile.spans {
        events.push(complete(
            HOST,
            span.what,
            "host",
            span.began,
            span.ended,
            json!({}),
        ));
    }
    for ran in &profile.operations {
        let direction = match ran.event.phase {
            Phase::Forward => "forward",
            Phase::Backward => "backward",
        };
        let about = json!({
            "output": format!("{:?}", ran.event.shape),
            "macs": ran.event.cost.macs,
            "bytes": ran.event.cost.bytes_read + ran.event.cost.bytes_written,
            "launches": ran.kernels.len(),
        });
        events.push(complete(
            OPERATIONS,
            ran.event.op,
            direction,
            ran.began,
            ran.ended,
            about,
        ));
        events.extend(ran.kernels.iter().map(kernel));
    }
    events.extend(profile.others.iter().map(kernel));
    for (when, bytes) in &profile.held.course {
        events.push(json!({
            "ph": "C", "pid": 0, "tid": 0, "name": "bytes held", "ts": micros(*when),
            "args": {"bytes": bytes},
        }));
    }
    json!({"displayTimeUnit": "ms", "traceEvents": events})
}

fn metadata(what: &str, row: u32, title: &str) -> Value {
    json!({"ph": "M", "pid": 0, "tid": row, "name": what, "args": {"name": title}})
}

fn kernel(kernel: &Kernel) -> Value {
    let began = kernel.ended.saturating_sub(kernel.time);
    complete(
        DEVICE,
        &kernel.name,
        "kernel",
        began,
        kernel.ended,
        json!({}),
    )
}

fn complete(
    row: u32,
    name: &str,
    category: &str,
    began: Duration,
    ended: Duration,
    about: Value,
) -> Value {
    json!({
        "ph": "X", "pid": 0, "tid": row, "name": name, "cat": category, "ts": micros(began),
        "dur": micros(ended.saturating_sub(began)), "args": about,
    })
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}
