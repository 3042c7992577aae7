// The data, what is chosen to be shown of it, and numbers as words.

const { results, summaries, networks } = JSON.parse(document.getElementById("data").textContent);
const OURS = "ours", CONTROL = "control";
const distinct = values => [...new Set(values)];
const byId = id => document.getElementById(id);

const rows = results.rows;
const isPeer = row => row.variant !== OURS && row.variant !== CONTROL;
const peers = distinct(rows.filter(isPeer).map(row => row.variant));
const ops = distinct(rows.map(row => row.op));
const settingOf = row => `${row.cache}, ${row.clock}`;
const settings = distinct(rows.map(settingOf));
const lost = row => isPeer(row) && row.verdict === "SLOWER";
const kindOf = row => (row.verdict ?? "UNSURE").toLowerCase();

/** Ours of the same problem. */
const keyOf = row => JSON.stringify([row.op, row.case, row.phase, row.cache, row.clock, row.sweep]);
const oursOf = (byKey => row => byKey.get(keyOf(row)))(new Map(rows.filter(row => row.variant === OURS).map(row => [keyOf(row), row])));

// What is chosen: it lives in the address, so that a view can be linked.
const most = (values, count) => [...values].sort((a, b) => count(b) - count(a))[0] ?? "";
const defaults = {
  show: most(settings, setting => rows.filter(row => isPeer(row) && settingOf(row) === setting).length),
  bars: most(ops, op => rows.filter(row => row.op === op && lost(row)).length),
  mark: "", metric: "median_ms",
  op: "", phase: "", variant: "", verdict: "", cache: "", clock: "", q: "", sort: "ratio",
};
let state = { ...defaults };

function readAddress() {
  state = { ...defaults };
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) if (key in defaults) state[key] = value;
  if (!settings.includes(state.show)) state.show = defaults.show;
  if (!ops.includes(state.bars)) state.bars = defaults.bars;
}

function writeAddress() {
  const changed = Object.entries(state).filter(([key, value]) => value !== defaults[key]);
  history.replaceState(null, "", "#" + new URLSearchParams(changed));
}

const shown = () => rows.filter(row => settingOf(row) === state.show);

const known = value => value !== null && value !== undefined && Number.isFinite(value);
function significant(value) {
  if (!known(value)) return "";
  if (value === 0) return "0";
  const decimals = 2 - Math.floor(Math.log10(Math.abs(value)));
  return value.toFixed(Math.max(0, Math.min(9, decimals)));
}
const ratioText = value => !known(value) ? "" : value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
const errorText = value => !known(value) ? "" : value && value < 0.005 ? "<0.01" : value.toFixed(2);
const times = value => known(value) ? ratioText(value) + "×" : "";
const percent = value => !known(value) ? "" : (100 * value).toFixed(value < 0.0995 ? 1 : 0) + "\u00a0%";
function bytesText(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; bytes >= 1024 && unit < 4; unit++) bytes /= 1024;
  return `${Number(bytes.toFixed(bytes >= 10 ? 0 : 1))} ${units[unit]}`;
}
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.floor(sorted.length / 2)] : NaN;
}

/** All that a mark says when it is pointed at. */
function describe(row) {
  const lines = [`${row.op} ${row.case}`, `${row.phase}, ${row.cache} caches, ${row.clock} clock`];
  const ours = oursOf(row);
  if (row.variant !== OURS) {
    lines.push(`${row.variant} ${significant(row.median_ms)} ms` + (ours ? `, ours ${significant(ours.median_ms)} ms` : ""));
    const interval = known(row.ratio_low) && known(row.ratio_high) ? ` (${ratioText(row.ratio_low)} to ${ratioText(row.ratio_high)})` : "";
    lines.push(`${times(row.ratio)}${interval} ${row.verdict ?? ""}`);
  } else {
    lines.push(`${significant(row.median_ms)} ms, ${significant(row.gb_s)} GB/s, ${significant(row.gflop_s)} GFLOP/s`);
    if (known(row.roofline)) lines.push(`${percent(row.roofline)} of the limit` + (row.bound ? `, bound by ${row.bound}` : ""));
  }
  if (row.unchecked) lines.push(`${percent(row.unchecked)} of the reference has no one value, and admits anything`);
  if (known(row.error)) lines.push(`error ${errorText(row.error)} of what is allowed, bits ${row.digest}`);
  if (known(row.peak_bytes)) lines.push(`holds ${bytesText(row.peak_bytes)} at once, its first call compiled for ${significant(row.compile_ms)} ms`);
  if (row.note) lines.push(row.note);
  return lines.join("\n");
}
