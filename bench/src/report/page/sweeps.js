// One extent against the time: a figure for each operation, phase and extent, a line for each variant.

const METRICS = { median_ms: "ms", gb_s: "GB/s", gflop_s: "GFLOP/s" };
const swept = rows.filter(row => row.sweep && row.variant !== CONTROL);
const seriesOf = variant => `series${variant === OURS ? 0 : 1 + peers.indexOf(variant) % 4}`;

function drawSweeps() {
  syncControls();
  byId("sweeps-section").hidden = !swept.length;
  const inSetting = swept.filter(row => settingOf(row) === state.show);
  const nameOf = row => `${row.op} ${row.phase}, by ${row.sweep.axis}`;
  panels("sweeps", distinct(inSetting.map(nameOf)), (host, name) => () => drawSweep(host, name, inSetting.filter(row => nameOf(row) === name)),
    "No sweep was measured in this setting.");
}

function drawSweep(host, name, points) {
  const metric = state.metric in METRICS ? state.metric : "median_ms", unit = METRICS[metric];
  const width = widthOf(host), height = 300, left = 46, right = width - 66, top = 20, bottom = height - 42;
  const ats = distinct(points.map(row => row.sweep.at)).sort((a, b) => a - b), [low, high] = [ats[0], ats.at(-1)];
  const logarithmic = low > 0 && high / low >= 8;
  const x = logarithmic ? logScale([low, high], [left + 8, right - 8]) : linearScale([low, Math.max(high, low + 1e-9)], [left + 8, right - 8], Math.max(high - low, 1));
  const y = logScale(around(points.map(row => row[metric]), 1.25), [bottom, top]);
  const parts = y.ticks.flatMap(tick => [line(left, y.at(tick), right, y.at(tick), "grid"), label(left - 6, y.at(tick) + 4, `${tick}`, "axis", "end")]);
  let last = -Infinity;
  for (const at of ats) {
    parts.push(line(x.at(at), bottom, x.at(at), bottom + 4, "grid"));
    if (x.at(at) - last > 26) parts.push(label(last = x.at(at), bottom + 18, `${at}`, "axis", "middle"));
  }
  parts.push(label((left + right) / 2, height - 6, points[0].sweep.axis + (logarithmic ? " (log)" : ""), "axis", "middle"), label(0, 11, `${unit} (log)`, "axis"));
  const ends = [];
  for (const variant of [...peers, OURS]) {
    const curve = points.filter(row => row.variant === variant && row[metric] > 0).sort((a, b) => a.sweep.at - b.sweep.at);
    if (!curve.length) continue;
    const kind = seriesOf(variant), nth = row => ats.indexOf(row.sweep.at);
    // No line across a point that was not measured.
    const step = (row, index) => index && nth(row) - nth(curve[index - 1]) < 2 ? "L" : "M";
    const place = (row, index) => `${step(row, index)}${x.at(row.sweep.at).toFixed(1)} ${y.at(row[metric]).toFixed(1)}`;
    parts.push(svg("path", { d: curve.map(place).join(""), class: `curve ${kind} ${variant === OURS ? OURS : ""}` }));
    for (const row of curve) parts.push(mark(kind, x.at(row.sweep.at), y.at(row[metric]), describe(row)));
    ends.push({ variant, kind, y: y.at(curve.at(-1)[metric]) });
  }
  parts.push(...endLabels(ends, right, top, bottom));
  host.replaceChildren(el("figcaption", {}, name), drawing(width, height, name, parts));
}

/** Names at the ends of the lines, moved apart where they would cover each other. */
function endLabels(ends, right, top, bottom) {
  ends.sort((a, b) => a.y - b.y);
  for (let index = 1; index < ends.length; index++) ends[index].y = Math.max(ends[index].y, ends[index - 1].y + 14);
  const over = Math.max(0, (ends.at(-1)?.y ?? 0) - bottom);
  return ends.map(({ variant, kind, y }) => {
    const text = label(right + 8, Math.max(top, y - over) + 4, variant.length > 9 ? variant.slice(0, 8) + "…" : variant, kind);
    text.setAttribute("style", `fill: currentColor; font-weight: ${variant === OURS ? 700 : 500}`);
    return text;
  });
}
