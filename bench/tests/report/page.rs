//! The page in a browser, where one is installed: `CHROME`, or a Chromium on the path.

use crate::sample::sample;
use ghostlight_bench::report::html;
use ghostlight_bench::results::{Cache, Results, Row};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const BROWSERS: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
];

/// Said on standard error where there is none: such a run has not looked at the page.
fn browser() -> Option<PathBuf> {
    let named = std::env::var_os("CHROME").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path)
        .flat_map(|folder| BROWSERS.map(|name| folder.join(name)))
        .find(|file| file.is_file());
    let starts = |file: &PathBuf| {
        Command::new(file)
            .arg("--version")
            .output()
            .is_ok_and(|out| out.status.success())
    };
    let found = named.or(installed).filter(starts);
    if found.is_none() {
        // Straight to the stream: what a passing test prints is not shown.
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: no Chromium that starts is on the path or named by CHROME, so nobody looked at the page"
        );
    }
    found
}

/// The page of `run` as it stands after its scripts and then `script` ran, opened at `address`. Fails on anything on the console.
fn opened(browser: &Path, name: &str, run: &Results, address: &str, script: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{name}"));
    fs::create_dir_all(&folder).expect("a folder of the test's own");
    let file = folder.join("report.html");
    let page = html(run).replace(
        "</body>",
        &format!("<script type=\"module\">{script}</script></body>"),
    );
    fs::write(&file, page).expect("a page that can be written");
    let [dom, log] = ["dom.html", "log.txt"].map(|name| folder.join(name));
    let mut child = Command::new(browser)
        // Root has no sandbox, as in a container.
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--dump-dom",
        ])
        .args(["--virtual-time-budget=4000", "--window-size=1280,1600"])
        .arg(format!(
            "--user-data-dir={}",
            folder.join("profile").display()
        ))
        .arg(format!("file://{}{address}", file.display()))
        .stdout(File::create(&dom).expect("a file"))
        .stderr(File::create(&log).expect("a file"))
        .stdin(Stdio::null())
        .spawn()
        .expect("a browser that starts");
    let start = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if start.elapsed() > Duration::from_secs(120) {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the browser had not finished after two minutes");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = String::from_utf8_lossy(&fs::read(&log).expect("a log")).into_owned();
    let console: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .collect();
    assert!(console.is_empty(), "{console:#?}");
    let dom = fs::read_to_string(&dom).expect("a page");
    assert!(
        dom.contains("data-ready=\"\""),
        "the page's script did not reach its end:\n{log}"
    );
    assert!(dom.contains("<p id=\"failed\" class=\"failed\" hidden=\"\">"));
    dom
}

/// What stands between two marks of the page.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let start = page.find(from).unwrap_or_else(|| panic!("no {from}"));
    let rest = &page[start + from.len()..];
    &rest[..rest
        .find(to)
        .unwrap_or_else(|| panic!("no {to} after {from}"))]
}

/// Cells of the table of all rows, as text.
fn table(page: &str) -> Vec<Vec<String>> {
    let body = between(
        between(page, "id=\"table\"", "</table>"),
        "<tbody>",
        "</tbody>",
    );
    let cells = |row: &str| {
        let cells = row.split("<td").skip(1);
        cells
            .map(|cell| between(cell, ">", "<").to_string())
            .collect()
    };
    body.split("<tr").skip(1).map(cells).collect()
}

fn hot<'a>(run: &'a Results, wanted: impl Fn(&Row) -> bool + 'a) -> usize {
    run.rows
        .iter()
        .filter(|row| row.cache == Cache::Hot && wanted(row))
        .count()
}

#[test]
fn the_page_draws_a_mark_for_every_row() {
    let Some(browser) = browser() else { return };
    let run = sample();
    let page = opened(&browser, "marks", &run, "", "");
    let marks = |from: &str, to: &str| {
        let part = between(&page, from, to);
        assert!(part.contains("<svg") && !part.contains("NaN"), "{from}");
        part.matches("data-hint=").count()
    };
    assert_eq!(
        marks("id=\"ratios\"", "id=\"bars-choices\""),
        hot(&run, Row::is_peer)
    );
    assert_eq!(
        marks("id=\"limits\"", "id=\"mark-choices\""),
        hot(&run, Row::is_ours)
    );
    assert_eq!(
        marks("id=\"roofline\"", "id=\"trust\""),
        hot(&run, |row| row.is_ours() && row.intensity > 0.0)
    );
    assert_eq!(
        marks("id=\"sweeps\"", "id=\"filters\""),
        hot(&run, |row| row.sweep.is_some() && !row.is_control())
    );
    assert_eq!(
        marks("id=\"trust\"", "id=\"sweeps\""),
        run.rows.iter().filter(|row| row.is_control()).count()
    );
    assert!(marks("id=\"bars\"", "id=\"bound-legend\"") > 8);
    let networks = between(&page, "id=\"networks\"", "</section>");
    let phases = hot(&run, |row| row.is_ours() && !row.layers.is_empty());
    assert!(phases > 0, "the sample has a network");
    assert_eq!(networks.matches("<tr>").count(), 1 + phases, "{networks}");
}

#[test]
fn the_table_starts_with_every_row_and_the_lost_ones_on_top() {
    let Some(browser) = browser() else { return };
    let run = sample();
    let page = opened(&browser, "table", &run, "", "");
    assert_eq!(table(&page).len(), run.rows.len());
    let lost = run.rows.iter().filter(|row| row.lost()).count();
    let body = between(&page, "id=\"table\"", "</table>");
    assert_eq!(body.matches("<tr class=\"lost\"").count(), lost);
    let classes: Vec<bool> = body
        .split("<tbody>")
        .nth(1)
        .expect("a body")
        .split("<tr")
        .skip(1)
        .map(|row| row.starts_with(" class=\"lost\""))
        .collect();
    assert!(classes[..lost / 2].iter().all(|lost| *lost));
}

#[test]
fn a_view_in_the_address_is_filtered_and_sorted() {
    let Some(browser) = browser() else { return };
    let run = sample();
    let page = opened(
        &browser,
        "address",
        &run,
        "#op=depthwise&cache=hot&q=k7+torch&sort=-median_ms",
        "",
    );
    let rows = table(&page);
    let wanted = hot(&run, |row| {
        row.op == "depthwise" && row.case.contains("k7") && row.variant == "torch"
    });
    assert_eq!((rows.len(), wanted), (3, 3));
    let ms: Vec<f64> = rows
        .iter()
        .map(|row| row[8].parse().expect("a number"))
        .collect();
    assert!(ms.is_sorted_by(|a, b| a >= b), "{ms:?}");
    assert!(page.contains("data-column=\"median_ms\" aria-sort=\"descending\""));
}

#[test]
fn clicks_sort_filter_and_choose_and_the_address_keeps_them() {
    let Some(browser) = browser() else { return };
    let run = sample();
    let script = "
        const one = query => document.querySelector(query);
        one('[data-column=case] button').click();
        one('[data-column=case] button').click();
        const op = one('select[data-key=op]');
        op.value = 'gate';
        op.dispatchEvent(new Event('change'));
        one('button[value=\"cold, wall\"]').click();
        one('#roofline [data-hint]').focus();
        const mark = document.activeElement;
        mark.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
        if (document.activeElement === mark || one('#tip').hidden) console.error('the arrow key went nowhere');
        document.body.dataset.address = location.hash;";
    let page = opened(&browser, "clicks", &run, "", script);
    let rows = table(&page);
    assert_eq!(
        rows.len(),
        run.rows.iter().filter(|row| row.op == "gate").count()
    );
    assert!(rows.iter().all(|row| row[0] == "gate"));
    assert!(rows[0][1].starts_with("n32") && rows[rows.len() - 1][1].starts_with("n1 "));
    let address = between(&page, "data-address=\"", "\"");
    for kept in ["op=gate", "sort=-case", "show=cold%2C+wall"] {
        assert!(address.contains(kept), "{kept} in {address}");
    }
    assert!(between(&page, "id=\"ratios\"", "id=\"bars-choices\"").contains("cold caches"));
}

#[test]
fn hostile_names_are_text_on_the_page() {
    let Some(browser) = browser() else { return };
    let mut run = sample();
    let name = "</script><b onclick=x()>bold</b><img src=x onerror=console.error(1)>";
    run.machine.device = name.into();
    for row in &mut run.rows {
        row.case = format!("{} {name}", row.case);
        row.op = format!("{name}{}", row.op);
    }
    let page = opened(&browser, "hostile", &run, "", "");
    assert!(!page.contains("<b onclick") && !page.contains("<img"));
    assert!(
        between(&page, "<h1 id=\"title\">", "</h1>").starts_with("&lt;/script&gt;&lt;b onclick")
    );
    assert_eq!(table(&page).len(), run.rows.len());
}

#[test]
fn a_run_of_nothing_but_ours_is_a_page_too() {
    let Some(browser) = browser() else { return };
    let mut run = sample();
    run.rows
        .retain(|row| row.is_ours() && row.cache == Cache::Hot && row.sweep.is_none());
    run.ceilings = Default::default();
    run.refused.clear();
    let page = opened(&browser, "ours", &run, "", "");
    assert!(page.contains("No peer was measured in this setting."));
    assert!(page.contains("<section id=\"sweeps-section\" hidden=\"\">"));
    run.rows.clear();
    assert!(table(&opened(&browser, "nothing", &run, "", "")).is_empty());
}
