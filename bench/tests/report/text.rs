use crate::sample::{beside_ours, sample};
use ghostlight_bench::report::{csv, html, markdown, network_sums, summaries, terminal};
use ghostlight_bench::results::{Bound, Layer, Results, Row, Verdict};

/// Three phases of one problem: a peer wins the first, another the second; the third has no peer.
fn small() -> Results {
    let mut run = sample();
    let phase = |name: &str| Row {
        phase: name.into(),
        ..run.rows[0].clone()
    };
    let (forward, backward, alone) = (phase("forward"), phase("backward"), phase("alone"));
    run.rows = vec![
        beside_ours(&forward, "torch", 0.5),
        beside_ours(&forward, "burn", 8.0),
        beside_ours(&backward, "torch", 2.0),
        beside_ours(&forward, "control", 1.01),
        forward,
        backward,
        alone,
    ];
    run
}

fn line_of<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines()
        .find(|line| line.starts_with(start))
        .unwrap_or_else(|| panic!("{start} in\n{text}"))
}

#[test]
fn means_are_geometric_and_of_one_peer_and_setting() {
    let all = summaries(&small());
    let torch = all
        .iter()
        .find(|row| row.op.is_none() && row.variant == "torch")
        .expect("torch");
    assert!((torch.mean - 1.0).abs() < 1e-12);
    assert_eq!((torch.rows, torch.lost), (2, 1));
    assert_eq!(torch.fast, [0.5; 3]);
    assert_eq!(
        (torch.lowest.ratio, torch.lowest.phase.as_str()),
        (0.5, "forward")
    );
    assert_eq!(torch.highest.ratio, 2.0);
    let mean = |share: &str| {
        format!(
            "  fast: {share} of them at least 1, {share} at least 1.5, {share} at least 2 times"
        )
    };
    let text = terminal(&small());
    assert!(
        text.contains(&mean("50 %")) && text.contains(&mean("100 %")),
        "{text}"
    );
    assert!(markdown(&small()).contains("| 1.00 | 50 % | 50 % | 50 % | 0.50 | 2.00 |"));
    // Hot and cold rows are never averaged.
    let count = |run: &Results| summaries(run).iter().filter(|row| row.op.is_none()).count();
    assert_eq!((count(&small()), count(&sample())), (3, 10));
}

#[test]
fn a_network_spends_the_sum_of_its_layers() {
    let mut run = small();
    run.rows.iter_mut().for_each(|row| row.layers.clear());
    let ours = |run: &Results| {
        let forward = |row: &&Row| row.is_ours() && row.phase == "forward";
        run.rows.iter().find(forward).expect("ours").clone()
    };
    // A second problem of the network, of twice the time, which burn has not.
    let second = Row {
        case: "second".into(),
        median_ms: 2.0 * ours(&run).median_ms,
        ..ours(&run)
    };
    run.rows.push(beside_ours(&second, "torch", 1.25));
    run.rows.push(second);
    for row in run.rows.iter_mut().filter(|row| row.phase == "forward") {
        let times = if row.case == "second" { 3 } else { 4 };
        row.layers.push(Layer {
            network: "Net".into(),
            times,
            of: 9,
        });
    }
    let sums = network_sums(&run);
    let [sum] = &sums[..] else { panic!("{sums:?}") };
    let ms = ours(&run).median_ms;
    assert_eq!((sum.network.as_str(), sum.layers, sum.of), ("Net", 7, 9));
    assert!((sum.ours_ms - (4.0 + 3.0 * 2.0) * ms).abs() < 1e-9 * ms);
    let [torch] = &sum.peers[..] else {
        panic!("{sums:?}")
    };
    assert_eq!(torch.variant, "torch");
    assert!((torch.ratio - (4.0 * 0.5 + 6.0 * 1.25) / 10.0).abs() < 1e-12);
    let line = line_of(&markdown(&run), "| Net | ").to_string();
    assert!(
        line.contains("| forward | 7 of 9 |") && line.ends_with("| **0.95** |"),
        "{line}"
    );
}

#[test]
fn markdown_keeps_losing_rows_in_bold() {
    let text = markdown(&small());
    let lost = line_of(&text, "| **n8 56x56 c128 m1 k3 s1 d1** | **forward** |");
    assert!(
        lost.contains("| **0.50 (") && lost.contains("SLOWER** | 8.00 ("),
        "{lost}"
    );
    assert!(line_of(&text, "| n8 56x56 c128 m1 k3 s1 d1 | backward |").contains(" FASTER |"));

    let run = sample();
    let slower = run
        .rows
        .iter()
        .filter(|row| row.is_peer() && row.verdict == Some(Verdict::Slower))
        .count();
    assert!(slower > 20);
    assert_eq!(markdown(&run).matches("SLOWER**").count(), slower);
}

#[test]
fn missing_peers_stay_blank() {
    let run = small();
    let text = markdown(&run);
    assert!(line_of(&text, "| n8 56x56 c128 m1 k3 s1 d1 | alone |").ends_with("|  |  |"));
    let table = terminal(&run);
    let alone = table
        .lines()
        .find(|line| line.contains(" alone "))
        .expect("the row");
    assert!(
        alone.ends_with(" 45 ms"),
        "nothing stands behind our own columns: {alone}"
    );
}

#[test]
fn what_binds_stands_beside_the_share_of_the_limit() {
    let mut run = small();
    let shorts = Bound::ALL.map(|bound| {
        run.rows.iter_mut().for_each(|row| row.bound = Some(bound));
        let (text, table, sheet) = (markdown(&run), terminal(&run), csv(&run));
        let case = "n8 56x56 c128 m1 k3 s1 d1";
        let line = line_of(&text, &format!("| {case} | alone |"));
        assert!(line.contains(&format!(" % | {bound} | ")), "{line}");
        let lines = table.lines().filter(|line| line.contains(" % "));
        let short = format!(" % {:7}  ", bound.short());
        let held: Vec<bool> = lines.map(|line| line.contains(&short)).collect();
        assert_eq!(held.iter().filter(|held| **held).count(), 3, "{table}");
        assert!(sheet.contains(&format!(",{bound},")), "{sheet}");
        assert!(html(&run).contains(&format!("\"bound\":\"{bound}\"")));
        bound.short()
    });
    assert!(shorts.iter().all(|short| short.len() <= 7), "{shorts:?}");
    assert!(markdown(&run).contains("- exponentials in f32: 7.00 G/s"));
}

#[test]
fn a_spreadsheet_gets_every_row_with_commas_in_quotes() {
    let mut run = small();
    run.rows[0].case = "n8, \"wide\"".into();
    let text = csv(&run);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1 + run.rows.len());
    assert!(lines[0].starts_with("op,phase,case,variant,") && lines[0].ends_with(",sweep,at"));
    assert!(
        lines[1].starts_with(r#"activation,forward,"n8, ""wide""",torch,wall,hot,"#),
        "{}",
        lines[1]
    );
    let ours = lines[5].split(',').collect::<Vec<_>>();
    assert_eq!(ours.len(), lines[0].split(',').count());
    assert_eq!((ours[10], ours[23]), ("", "1"), "no ratio, one allocation");
    assert_eq!(ours[24..31], ["1", "3145728", "45.0", "2.6", "0.1", "", ""]);
    assert_eq!(ours[6], run.rows[4].median_ms.to_string());
}

#[test]
fn memory_and_compilation_stand_beside_every_variant_of_our_own_device() {
    let mut run = small();
    let naive = Row {
        peak_bytes: Some(5 << 20),
        compile_ms: Some(812.0),
        ..beside_ours(&run.rows[4], "naive", 3.0)
    };
    run.rows.push(naive);
    let text = markdown(&run);
    let line = line_of(&text, "| n8 56x56 c128 m1 k3 s1 d1 | alone |");
    assert!(line.contains(" | 3 MiB | 45.0 | "), "{line}");
    let naive = "| activation | n8 56x56 c128 m1 k3 s1 d1 | forward | naive | 5 MiB | 812 |";
    assert!(text.contains(naive), "{text}");
    // A peer's memory is not ours to count.
    assert!(!text.contains("| forward | torch |"));
    let table = terminal(&run);
    for line in [
        "Memory: up to 5 MiB at once, operands included, in activation n8 56x56",
        "Compilation: a first call took up to 812 ms longer than later ones, in activation",
        "Clock: 2.60 GHz.",
        "Load: others kept 0.10 processors busy in the median, up to 0.10.",
        "Not shown by this machine, and empty in all rows: energy (RAPL).",
    ] {
        line_of(&table, line);
        assert!(text.contains(&format!("- {line}")), "{line}");
    }
    assert!(!table.contains("Energy:"), "no row knows of it");
    // Where there is room, ours has both in the table too.
    run.rows.retain(Row::is_ours);
    let table = terminal(&run);
    let alone = line_of(&table, "n8 56x56 c128 m1 k3 s1 d1");
    assert!(alone.ends_with("     3 MiB     45 ms"), "{alone}");
}

#[test]
fn a_row_that_was_slowed_down_is_named_and_keeps_its_place() {
    let mut run = small();
    let quiet = (terminal(&run).lines().count(), summaries(&run));
    let note = "throttled: the clock fell from 3.10 to 2.50 GHz";
    run.rows[4].note = Some(note.into());
    run.rows[0].note = Some(note.into());
    let (text, table) = (markdown(&run), terminal(&run));
    // Two notes, and one line on how many there are.
    assert_eq!(table.lines().count(), quiet.0 + 3);
    assert_eq!(summaries(&run), quiet.1);
    for variant in ["ours", "torch"] {
        line_of(&table, &format!("  {variant}: {note}"));
        let row = format!("| forward | {variant} | hot | {note} |");
        assert!(text.contains(&row), "{text}");
    }
    line_of(&table, "Throttled: 2 of 7 rows");
    assert!(
        csv(&run)
            .lines()
            .nth(5)
            .is_some_and(|line| line.contains(note))
    );
    assert!(html(&run).contains(note));
}

#[test]
fn refused_variants_are_told_with_their_reasons() {
    let (text, table) = (markdown(&sample()), terminal(&sample()));
    assert!(text.contains(
        "| flip_align | n1 75x75 c36 m1 k7 s1 d1 | loss+grad | burn | has no such operation |"
    ));
    assert!(table.contains(
        "refused: flip_align n1 75x75 c36 m1 k7 s1 d1 loss+grad burn: has no such operation"
    ));
}

#[test]
fn every_problem_stands_in_the_document_and_in_the_terminal() {
    let run = sample();
    let ours = run.rows.iter().filter(|row| row.is_ours()).count();
    let (text, table) = (markdown(&run), terminal(&run));
    let rows = |cache: &str| {
        text.lines()
            .filter(|line| {
                line.contains(cache)
                    && Bound::ALL
                        .iter()
                        .any(|bound| line.contains(&format!(" {bound} |")))
            })
            .count()
    };
    assert_eq!(rows("| hot, wall |") + rows("| cold, wall |"), ours);
    let measured = |line: &&str| {
        line.contains(" % ")
            && !["  fast: ", "unchecked: "]
                .iter()
                .any(|total| line.starts_with(total))
    };
    // Four peers, of which a table holds three.
    assert_eq!(table.lines().filter(measured).count(), 2 * ours);
}

#[test]
fn the_terminal_gets_at_most_120_columns_of_plain_text() {
    let mut run = sample();
    run.rows[0].case =
        "a case with a name that is far too long for any terminal to hold in one of its columns"
            .repeat(2);
    run.refused[0].reason = "line\n".repeat(80);
    for line in terminal(&run).lines() {
        assert!(line.chars().count() <= 120, "{line}");
        assert!(!line.contains(char::is_control));
    }
}

#[test]
fn hostile_names_stay_text() {
    let mut run = small();
    let name = "</script><b onclick=\"x()\">|`&<!--data-->";
    run.machine.device = name.into();
    run.commit = name.into();
    run.rows.iter_mut().for_each(|row| row.case = name.into());
    let page = html(&run);
    assert_eq!(
        page.matches("</script>").count(),
        html(&small()).matches("</script>").count()
    );
    assert!(!page.contains("<b onclick"));
    assert!(page.contains("\\u003c/script>"));
    assert!(!page.contains("<!--"));

    let text = markdown(&run);
    assert!(!text.contains("<b") && !text.contains("</script"));
    assert!(text.contains(r"&lt;/script>&lt;b onclick=") && text.contains(r"\|\`&amp;"));
}

#[test]
fn the_page_needs_no_network() {
    let page = html(&sample());
    for foreign in ["src=", "<link", "@import", "fetch(", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    // Names of XML's own are no addresses to load from.
    assert_eq!(
        page.matches("http").count(),
        page.matches("http://www.w3.org/2000/svg").count()
    );
}

#[test]
fn a_run_without_peers_or_rows_is_told_as_such() {
    let mut run = sample();
    run.rows.retain(Row::is_ours);
    assert!(markdown(&run).contains("No peer was measured"));
    run.rows.clear();
    run.ceilings.memory.clear();
    assert!(markdown(&run).starts_with("# Bench"));
    assert!(terminal(&run).ends_with("in units of what they may be.\n"));
    assert!(html(&run).contains("<main"));
}
