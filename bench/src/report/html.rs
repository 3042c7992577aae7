use super::{NetworkSum, Summary, network_sums, summaries};
use crate::results::Results;
use serde::Serialize;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// One module: each file may use those before it.
const SCRIPTS: [&str; 9] = [
    include_str!("page/data.js"),
    include_str!("page/svg.js"),
    include_str!("page/lanes.js"),
    include_str!("page/ratios.js"),
    include_str!("page/roofline.js"),
    include_str!("page/sweeps.js"),
    include_str!("page/trust.js"),
    include_str!("page/table.js"),
    include_str!("page/page.js"),
];

/// What the page's script reads.
#[derive(Serialize)]
struct Data<'a> {
    results: &'a Results,
    summaries: Vec<Summary>,
    networks: Vec<NetworkSum>,
}

/// The run as one page that needs no network: style, script and data are inside.
///
/// Names reach the page as data only, and its script shows them as text, so that no name of a case can become markup.
pub fn html(results: &Results) -> String {
    let data = Data {
        results,
        summaries: summaries(results),
        networks: network_sums(results),
    };
    let json = serde_json::to_string(&data).unwrap_or_else(|_| "null".into());
    PAGE.replace("<!--style-->", STYLE)
        .replace("<!--script-->", &SCRIPTS.concat())
        // Last: with every `<` escaped, nothing in the data can end its element or stand for another part.
        .replace("<!--data-->", &json.replace('<', "\\u003c"))
}
