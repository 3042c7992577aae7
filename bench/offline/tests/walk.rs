//! PTX by hand, whose figures are known.

use ghostlight_offline::{Geometry, Program, ProgramError, Walk};

/// An entry point of this body, with two buffers and a block of scalars.
fn program(body: &str) -> Result<Program, ProgramError> {
    Program::of(&format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n\n.visible .entry kernel(\n\t.param .u64 .ptr kernel_param_0,\n\t\
         .param .u64 .ptr kernel_param_1,\n\t.param .align 8 .b8 kernel_param_2[16]\n)\n.reqntid 64\n{{\n\t.reg .pred %p<9>;\n{body}\n\tret;\n}}\n"
    ))
}

fn walk(body: &str) -> Walk {
    let program = program(body).expect("it can be read");
    let geometry = Geometry {
        cubes: [8, 1, 1],
        dim: [64, 1, 1],
        buffers: vec![0, 512],
        info: vec![10, 3],
    };
    Walk::of(&program, &geometry)
}

/// `%rd4` is the first buffer's address plus `bytes` for each unit.
fn address(bytes: u32) -> String {
    format!(
        "\tmov.u32 %r1, %tid.x;\n\tld.param.b64 %rd1, [kernel_param_0];\n\tcvta.to.global.u64 %rd2, %rd1;\n\t\
         mul.wide.u32 %rd3, %r1, {bytes};\n\tadd.s64 %rd4, %rd2, %rd3;\n"
    )
}

#[test]
fn neighbours_that_read_side_by_side_touch_the_lines_they_need() {
    let found = walk(&(address(16) + "\tld.global.nc.v4.b32 {%r2, %r3, %r4, %r5}, [%rd4];"));
    assert_eq!(
        (found.loads, found.stores, found.banks),
        (Some(1.0), None, None)
    );
    assert_eq!((found.busy, found.steps), (64, 7));
    assert_eq!(found.hot.loads, "1x128");
    let halves = program(
        "\tld.global.nc.v4.b16 {%rs1, %rs2, %rs3, %rs4}, [%rd4];\n\tld.global.b16 %rs5, [%rd4];",
    );
    assert_eq!(halves.map(|program| program.widest_load()), Ok(Some(64)));
    assert_eq!(found.unknown, None);
}

#[test]
fn neighbours_that_are_a_line_apart_touch_one_each() {
    // 32 units read 16 bytes, which would fill 4 lines.
    assert_eq!(
        walk(&(address(128) + "\tld.global.v4.b32 {%r2, %r3, %r4, %r5}, [%rd4];")).loads,
        Some(8.0)
    );
    assert_eq!(
        walk(&(address(128) + "\tst.global.b32 [%rd4], %r1;")).stores,
        Some(32.0)
    );
    // One word for all is one line.
    assert_eq!(
        walk(&(address(0) + "\tld.global.b32 %r2, [%rd4];")).loads,
        Some(1.0)
    );
}

#[test]
fn an_address_that_is_not_that_of_a_line_touches_one_more() {
    let moved =
        address(4).replace("kernel_param_0", "kernel_param_1") + "\tld.global.b32 %r2, [%rd4+64];";
    assert_eq!(walk(&moved).loads, Some(2.0));
}

#[test]
fn a_loop_is_walked_as_often_as_its_scalar_says() {
    let body = "\tld.param.b32 %r1, [kernel_param_2];\n\tmov.b32 %r2, 0;\n$L1:\n\tadd.s32 %r2, %r2, 1;\n\tfma.rn.f32 %f1, %f1, %f1, %f1;\n\t\
        setp.lt.u32 %p1, %r2, %r1;\n\t@%p1 bra $L1;\n\tld.param.b64 %rd1, [kernel_param_2+8];\n\tmul.lo.s64 %rd2, %rd1, %rd1;";
    let found = walk(body);
    assert_eq!(found.steps, 2 + 10 * 4 + 3);
    assert_eq!(
        (found.hot.instructions, found.hot.fma, found.busy),
        (4, 1, 0)
    );
}

#[test]
fn banks_that_units_share_take_turns() {
    let shared = |bytes: u32| {
        let address = format!("\tmov.u32 %r1, %tid.x;\n\tmul.lo.u32 %r2, %r1, {bytes};\n");
        walk(&(address + "\tst.shared.b32 [%r2], %r1;\n\tbar.sync 0;\n\tld.shared.b32 %r3, [%r2];"))
            .banks
    };
    assert_eq!(shared(4), Some(1.0));
    assert_eq!(shared(8), Some(2.0));
    assert_eq!(shared(128), Some(32.0));
}

#[test]
fn what_a_unit_left_in_shared_memory_another_one_finds_behind_the_barrier() {
    // The other half of the cube's units is where an address comes from: `[63 - i]` of `4 i`.
    let body = address(0)
        + "\tshl.b32 %r2, %r1, 2;\n\tmov.b32 %r3, 252;\n\tsub.s32 %r4, %r3, %r2;\n\tshl.b32 %r5, %r1, 7;\n\tst.shared.b32 [%r2], %r5;\n\t\
           bar.sync 0;\n\tld.shared.b32 %r6, [%r4];\n\tcvt.u64.u32 %rd5, %r6;\n\tadd.s64 %rd6, %rd4, %rd5;\n\tld.global.b32 %r7, [%rd6];";
    assert_eq!(walk(&body).loads, Some(32.0));
}

#[test]
fn half_of_the_units_that_return_early_are_not_at_work() {
    let found = walk(
        &(address(4)
            + "\tsetp.ge.u32 %p1, %r1, 16;\n\t@%p1 bra $L1;\n\tld.global.b32 %r2, [%rd4];\n$L1:"),
    );
    assert_eq!(found.busy, 16);
}

#[test]
fn what_is_not_modelled_is_told() {
    assert_eq!(
        walk("\tatom.global.add.u32 %r1, [%rd1], 1;")
            .unknown
            .as_deref(),
        Some("atom.global.add.u32")
    );
    assert_eq!(Program::of("no kernel").err(), Some(ProgramError::NoEntry));
    let error = program("\tbra $L9;").expect_err("there is no such label");
    assert!(error.to_string().contains("$L9"), "{error}");
}
