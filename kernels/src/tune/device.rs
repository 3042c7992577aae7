use crate::{Client, launch};
use std::fs;

/// The processor's name, where the system tells it in `/proc`.
pub fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"))?;
    Some(line.trim_start_matches([' ', '\t', ':']).to_string())
}

/// What a table is for: the device's name, and of a CPU the processor's, the lanes of its vectors of f32 and the cores that the runtime takes.
pub fn device(client: &Client) -> String {
    let properties = client.properties();
    let name = &properties.identity.name;
    if !launch::is_cpu(client) {
        return name.clone();
    }
    let (lanes, cores) = (
        launch::widest(client, crate::DType::F32),
        properties.hardware.max_units_per_cube,
    );
    let processor = processor().unwrap_or_else(|| name.clone());
    format!("{processor}, {lanes} lanes, {cores} cores")
}
