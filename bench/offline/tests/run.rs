//! Launches of PTX by hand: what they compute, and what is wrong with them.

use ghostlight_offline::run::{Buffer, Fault, Kind, Other, Place, run};
use ghostlight_offline::{Geometry, Program};

const UNITS: usize = 64;
const CUBES: usize = 8;

/// Runs an entry point of this body on two buffers of a number for each unit of each cube, of which the first counts from 0.
fn launch(body: &str) -> Result<Vec<u32>, Fault> {
    let program = Program::of(&format!(
        ".version 8.7\n.target sm_90a\n.address_size 64\n\n.visible .entry kernel(\n\t.param .u64 .ptr kernel_param_0,\n\t\
         .param .u64 .ptr kernel_param_1,\n\t.param .align 8 .b8 kernel_param_2[16]\n)\n.reqntid 64\n{{\n\t.reg .pred %p<9>;\n{body}\n\tret;\n}}\n"
    ));
    let program = program.expect("it can be read");
    let geometry = Geometry {
        cubes: [CUBES as u32, 1, 1],
        dim: [UNITS as u32, 1, 1],
        buffers: vec![0, 512],
        info: vec![10, 3],
    };
    let count = UNITS * CUBES;
    let [x, y] = [Buffer::new(4 * count), Buffer::new(4 * count)];
    let numbers: Vec<u8> = (0..count as u32).flat_map(u32::to_le_bytes).collect();
    x.write(&numbers);
    run(&program, &geometry, &[x, y.clone()], 4 * UNITS)?;
    let bytes = y.read();
    let words = bytes.chunks_exact(4);
    Ok(words
        .map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")))
        .collect())
}

fn fault(body: &str) -> Kind {
    launch(body).expect_err("it is wrong").kind
}

/// `%r1` is the unit, `%r2` its number over all cubes, `%r3` four times the unit, `%rd5` and `%rd6` its places in the two buffers.
const PLACES: &str = "\tmov.u32 %r1, %tid.x;\n\tmov.u32 %r9, %ctaid.x;\n\tmov.u32 %r8, %ntid.x;\n\tmad.lo.s32 %r2, %r9, %r8, %r1;\n\t\
    shl.b32 %r3, %r1, 2;\n\tmul.wide.u32 %rd3, %r2, 4;\n\tld.param.b64 %rd1, [kernel_param_0];\n\tld.param.b64 %rd2, [kernel_param_1];\n\t\
    add.s64 %rd5, %rd1, %rd3;\n\tadd.s64 %rd6, %rd2, %rd3;\n";

fn body(rest: &str) -> String {
    format!("{PLACES}{rest}")
}

#[test]
fn every_unit_of_every_cube_computes_on_its_own_numbers() {
    let squares = "\tld.global.b32 %r4, [%rd5];\n\tld.param.b32 %r5, [kernel_param_2+8];\n\tmad.lo.s32 %r6, %r4, %r4, %r5;\n\tst.global.b32 [%rd6], %r6;";
    let found = launch(&body(squares)).expect("nothing is wrong");
    let wanted: Vec<u32> = (0..(UNITS * CUBES) as u32).map(|i| i * i + 3).collect();
    assert_eq!(found, wanted);
}

#[test]
fn numbers_pass_between_units_behind_a_barrier() {
    let turned = "\tld.global.b32 %r4, [%rd5];\n\tst.shared.b32 [%r3], %r4;\n\tbar.sync 0;\n\tmov.b32 %r5, 252;\n\tsub.s32 %r6, %r5, %r3;\n\t\
        ld.shared.b32 %r7, [%r6];\n\tst.global.b32 [%rd6], %r7;";
    let found = launch(&body(turned)).expect("nothing is wrong");
    for (i, found) in found.into_iter().enumerate() {
        assert_eq!(found as usize, i / UNITS * UNITS + (UNITS - 1 - i % UNITS));
    }
    // The same without the barrier: the first unit reads what the last one has not written.
    let unwritten = Kind::Unwritten {
        place: Place::Shared,
        offset: 252,
    };
    assert_eq!(
        fault(&body(&turned.replace("\tbar.sync 0;\n", ""))),
        unwritten
    );
}

#[test]
fn two_units_that_meet_without_a_barrier_are_told() {
    // All write their own number into the first word.
    let kind = fault(&body("\tst.shared.b32 [0], %r1;"));
    let met = |offset, unit, other| Kind::Units {
        place: Place::Shared,
        offset,
        unit,
        other,
    };
    assert_eq!(kind, met(0, 1, Other::Unit(0)));
    // Every unit reads the first word, one writes it.
    let read = "\tsetp.ne.b32 %p1, %r1, 0;\n\t@%p1 bra $L1;\n\tst.shared.b32 [0], %r8;\n$L1:\n\tbar.sync 0;\n\tld.shared.b32 %r4, [0];\n";
    let late = "\tsetp.ne.b32 %p2, %r1, 63;\n\t@%p2 bra $L2;\n\tst.shared.b32 [0], %r1;\n$L2:";
    assert_eq!(
        fault(&body(&format!("{read}{late}"))),
        met(0, 63, Other::Several)
    );
    let apart = format!("{read}\tbar.sync 0;\n{late}");
    launch(&body(&apart)).expect("a barrier lies between");
}

#[test]
fn two_cubes_that_meet_are_told() {
    let meet = Kind::Cubes {
        place: Place::Buffer(1),
        offset: 0,
    };
    // The first unit of each cube writes its cube's number.
    let first = "\tsetp.ne.b32 %p1, %r1, 0;\n\t@%p1 bra $L1;\n\tst.global.b32 [%rd2], %r9;\n$L1:";
    assert_eq!(fault(&body(first)), meet);
    launch(&body(&first.replace("%r9;\n$L1", "%r8;\n$L1"))).expect("all write the same");
}

#[test]
fn accesses_outside_and_askew_are_told() {
    let outside = |buffer, offset, bytes| Kind::Outside {
        place: Place::Buffer(buffer),
        offset,
        bytes,
        len: 4 * UNITS * CUBES,
    };
    assert_eq!(
        fault(&body("\tld.global.v2.b32 {%r4, %r5}, [%rd1+2044];")),
        outside(0, 2044, 8)
    );
    assert_eq!(
        fault(&body("\tst.global.b32 [%rd2+-4], %r1;")),
        outside(1, -4, 4)
    );
    assert_eq!(
        fault(&body("\tld.global.b32 %r4, [%rd1+2];")),
        Kind::Misaligned {
            place: Place::Buffer(0),
            offset: 2,
            bytes: 4
        }
    );
    assert!(matches!(
        fault(&body("\tst.shared.b32 [256], %r1;")),
        Kind::Outside { len: 256, .. }
    ));
    assert_eq!(
        fault("\tmov.b64 %rd1, 4096;\n\tld.global.b32 %r1, [%rd1];"),
        Kind::NoBuffer(4096)
    );
}

#[test]
fn what_nobody_wrote_is_not_read() {
    let kind = fault(&body("\tld.global.b32 %r4, [%rd6];"));
    assert!(
        matches!(
            kind,
            Kind::Unwritten {
                place: Place::Buffer(1),
                ..
            }
        ),
        "{kind}"
    );
}

#[test]
fn a_barrier_that_some_units_miss_is_told() {
    let half = "\tsetp.ge.u32 %p1, %r1, 32;\n\t@%p1 bra $L1;\n\tbar.sync 0;\n$L1:";
    let missed = Kind::Barrier {
        waiting: 32,
        units: 64,
    };
    assert_eq!(fault(&body(half)), missed);
    // Two barriers, of which each has half of the units.
    let two =
        "\tsetp.ge.u32 %p1, %r1, 32;\n\t@%p1 bra $L1;\n\tbar.sync 0;\n\tret;\n$L1:\n\tbar.sync 0;";
    assert_eq!(fault(&body(two)), missed);
}

#[test]
fn what_is_not_modelled_is_told_where_it_stands() {
    let error = launch("\tatom.global.add.u32 %r1, [%rd1], 1;").expect_err("it is not modelled");
    assert_eq!(error.kind, Kind::Unknown);
    assert!(error.to_string().contains("atom.global.add.u32"), "{error}");
    assert_eq!(
        fault("\tshfl.sync.bfly.b32 %r1|%p1, %r2, 1, 31, -1;"),
        Kind::Unknown
    );
}

/// `%f1` is computed by `code` from the unit's number.
fn computed(code: &str) -> Vec<f32> {
    let code = format!("\tcvt.rn.f32.u32 %f2, %r1;\n\t{code}\n\tst.global.b32 [%rd6], %f1;");
    let found = launch(&body(&code)).expect("nothing is wrong");
    found.into_iter().take(UNITS).map(f32::from_bits).collect()
}

#[test]
fn numbers_are_computed_to_the_last_bit() {
    type Case = (&'static str, fn(f32) -> f32);
    let cases: [Case; 10] = [
        (
            "cvt.f64.f32 %fd1, %f2;\n\t{ .reg .b32 tmp; mov.b64 {tmp, %r4}, %fd1; }\n\tmov.b64 %fd2, {0, %r4};\n\tcvt.rn.f32.f64 %f1, %fd2;",
            |x| x,
        ),
        ("fma.rn.f32 %f1, %f2, 0f3DCCCCCD, 0f3F800000;", |x| {
            x.mul_add(0.1, 1.0)
        }),
        ("div.rn.f32 %f1, 0f3F800000, %f2;", |x| 1.0 / x),
        ("sqrt.rn.f32 %f1, %f2;", f32::sqrt),
        ("neg.f32 %f1, %f2;", |x| -x),
        ("max.f32 %f1, %f2, 0f7FC00000;", |x| x),
        (
            "cvt.rn.f16.f32 %rs1, %f2;\n\tadd.rn.f16 %rs2, %rs1, %rs1;\n\tcvt.f32.f16 %f1, %rs2;",
            |x| x + x,
        ),
        (
            "cvt.f64.f32 %fd1, %f2;\n\tdiv.rn.f64 %fd2, %fd1, 0d4008000000000000;\n\tcvt.rn.f32.f64 %f1, %fd2;",
            |x| (f64::from(x) / 3.0) as f32,
        ),
        (
            "cvt.rzi.s32.f32 %r4, %f2;\n\tmul.hi.u32 %r5, %r4, 0x80000000;\n\tcvt.rn.f32.u32 %f1, %r5;",
            |x| (x as u32 / 2) as f32,
        ),
        (
            "setp.gtu.f32 %p1, %f2, 0f42000000;\n\tselp.f32 %f1, %f2, 0f00000000, %p1;",
            |x| {
                if x > 32.0 { x } else { 0.0 }
            },
        ),
    ];
    for (code, wanted) in cases {
        for (i, found) in computed(code).into_iter().enumerate() {
            assert_eq!(found.to_bits(), wanted(i as f32).to_bits(), "{code} of {i}");
        }
    }
}
