//! The device that all the other tests ran on.

use ghostlight_tests::{client, dtypes, dtypes_with_exp, finishes_loops};
use std::io::Write;

#[test]
fn the_device_is_the_one_that_was_asked_for() {
    let client = client();
    let properties = client.properties();
    let (name, hardware) = (&properties.identity.name, &properties.hardware);
    // Past libtest's capture: a log must say where its tests ran.
    let said = format!(
        "device: {name} on {}, planes of {} to {} units, {} units a cube, {} buffers a kernel, {} bytes of alignment\n",
        client.name(),
        hardware.plane_size_min,
        hardware.plane_size_max,
        hardware.max_units_per_cube,
        hardware.max_bindings,
        properties.memory.alignment,
    );
    std::io::stderr()
        .write_all(said.as_bytes())
        .expect("standard error is open");
    // Mesa's name for what renders in lavapipe.
    let lavapipe = name.contains("llvmpipe");
    match std::env::var("GHOSTLIGHT_DEVICE").as_deref() {
        Ok("lavapipe") => assert!(lavapipe, "{name:?}"),
        Ok("cpu") => assert!(hardware.num_cpu_cores.is_some() && !lavapipe, "{name:?}"),
        _ => {}
    }
    // What the device lacks is said once here, whatever tests are chosen.
    assert!(!dtypes().is_empty() && !dtypes_with_exp().is_empty());
    finishes_loops("whatever takes a unit a million rounds of loops", 1_000_000);
}
