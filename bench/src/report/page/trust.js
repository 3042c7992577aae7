// Whether to believe it: the control rows, what was verified, and what the words mean.

function drawTrust() {
  const controls = rows.filter(row => row.variant === CONTROL && known(row.ratio));
  const controlFigure = el("figure", { class: "chart" });
  const timed = rows.filter(row => row.variant !== CONTROL).length;
  const wobble = median(rows.filter(row => row.variant === OURS && row.median_ms > 0).map(row => (row.high_ms - row.low_ms) / row.median_ms));
  const within = controls.filter(row => Math.abs(Math.log(row.ratio)) <= Math.log(1.05)).length;
  const terms = [
    ["Verified before and after", `${plural(timed, "row")} got a time, each after its result had been held against the reference in f64, and again afterwards on operands that it had not seen. ${plural(results.refused.length, "variant")} got none and ${results.refused.length === 1 ? "is" : "are"} listed below with the reason.`],
    ["In turns", `Both sides of a ratio ran in turns, so that a drift of the machine meets both. Its interval of 95 % is Student's t over the pairs of turns. From the 10th to the 90th percentile, the calls of a row of ours spread over ${percent(wobble) || "an unknown share"} of the median, in the middle of all rows.`],
    ["Control", controls.length ? `Ours against itself under another name. ${within} of ${controls.length} lie within 5 % of 1.00; a difference between variants that is smaller than what the control shows is noise.` : "No control rows in this run: nothing says how large its noise is."],
    ["Hot and cold", "Hot: the operands were left in the caches by the call before, as in a loop over one small problem. Cold: all cores wrote twice the last-level cache before every call, as in a network whose layers follow each other."],
    ["Wall and device", "Wall: seen from the caller, to the end of the work, launches included. Device: the device's own durations."],
    ["Machine", machineText()],
    ["Verdicts", "FASTER and SLOWER: the whole interval lies more than 3 % from 1. SAME: within 3 %. UNSURE: too wide to tell. A row is lost when its verdict is SLOWER; none is hidden."],
  ];
  const words = el("dl", {}, ...terms.flatMap(([term, text]) => [el("dt", {}, term), el("dd", {}, text)]));
  byId("trust").replaceChildren(words, el("div", {}, controlFigure, el("h3", {}, "Verdicts by peer"), verdictTable()), refusedTable());
  if (controls.length) {
    const domain = around([...controls.map(row => row.ratio), 0.9, 1.1], 1.01);
    const lanes = settings.map(setting => {
      const found = controls.filter(row => settingOf(row) === setting);
      const ratios = found.map(row => row.ratio);
      return { name: setting, note: `${ratioText(Math.min(...ratios))} to ${ratioText(Math.max(...ratios))}`, marks: found.map(row => ({ value: row.ratio, kind: kindOf(row), hint: describe(row) })) };
    }).filter(lane => lane.marks.length);
    drawLanes(controlFigure, ["Control rows: must lie at 1.00"], lanes, {
      one: 1, name: "control's time / ours (linear)", text: value => value.toFixed(2),
      scale: range => { const ticks = linearScale(domain, range, 1); ticks.ticks = [0.5, 0.8, 0.9, 0.95, 1, 1.05, 1.1, 1.25, 2].filter(tick => tick >= domain[0] && tick <= domain[1]); return ticks; },
    });
  }
}

/** Clock, load and energy over all rows, which rows were slowed down, and what the machine does not show. */
function machineText() {
  const span = (key, unit, scale = 1) => {
    const values = rows.map(row => row[key]).filter(known).map(value => scale * value);
    return values.length ? `${significant(Math.min(...values))} to ${significant(Math.max(...values))} ${unit}` : "";
  };
  const noted = rows.filter(row => row.note).length, sentences = [];
  const [ghz, load, joules] = [span("ghz", "GHz"), span("load", "processors busy"), span("joules", "mJ a call", 1e3)];
  if (ghz) sentences.push(`Clock: ${ghz}.`);
  if (load) sentences.push(`Others kept ${load}.`);
  if (joules) sentences.push(`Energy: ${joules}.`);
  sentences.push(noted ? `${plural(noted, "row")} of ${rows.length} were timed while the device was slowed down; their notes say by what.` : "No row has a note that the device was slowed down.");
  if ((results.missing ?? []).length) sentences.push(`Not shown by this machine, and empty in all rows: ${results.missing.join(", ")}.`);
  return sentences.join(" ");
}

function verdictTable() {
  const kinds = ["faster", "same", "unsure", "slower"];
  const totals = summaries.filter(summary => summary.op === null);
  const cell = (text, kind = "number") => el("td", { class: kind }, text);
  return el("div", { class: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, ...["variant", "caches, clock"].map(name => el("th", {}, name)), ...kinds.map(kind => el("th", { class: "number" }, kind.toUpperCase())))),
    el("tbody", {}, ...totals.map(total => el("tr", {}, cell(total.variant, ""), cell(settingOf(total), ""),
      ...kinds.map(kind => cell(`${total.tally[kind]}`, kind === "slower" && total.lost ? "number lost" : "number")))))));
}

function refusedTable() {
  if (!results.refused.length) return el("p", { class: "whole" }, "Every variant passed its check and got a time.");
  const names = ["op", "case", "phase", "variant", "reason"];
  return el("div", { class: "whole" }, el("h3", {}, "Without a time"), el("div", { class: "scroll" }, el("table", { id: "refused" },
    el("thead", {}, el("tr", {}, ...names.map(name => el("th", {}, name)))),
    el("tbody", {}, ...results.refused.map(refused => el("tr", {}, ...names.map(name => el("td", { class: name }, refused[name]))))))));
}
