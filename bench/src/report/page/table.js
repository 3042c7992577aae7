// Every row: sorted by any column, filtered, and never without the lost ones unless it was asked for.

const several = read => distinct(rows.map(read)).length > 1;
const text = key => ({ key, name: key, read: row => row[key] ?? "", show: row => row[key] ?? "" });
const number = (key, name, show = significant) => ({ key, name, number: true, read: row => row[key], show: row => show(row[key]) });
const COLUMNS = [
  text("op"), text("case"), text("phase"), text("variant"), text("cache"), several(row => row.clock) ? text("clock") : null,
  { key: "ratio", name: "ratio to ours", number: true, read: row => row.ratio, show: row => ratioText(row.ratio), bar: true },
  { key: "interval", name: "interval", number: true, read: row => row.ratio_low, show: row => known(row.ratio_low) ? `${ratioText(row.ratio_low)}–${ratioText(row.ratio_high)}` : "" },
  text("verdict"),
  number("median_ms", "ms"),
  { key: "spread", name: "10 to 90 %, ms", number: true, read: row => (row.high_ms - row.low_ms) / row.median_ms, show: row => `${significant(row.low_ms)}–${significant(row.high_ms)}` },
  number("roofline", "of limit", percent), text("bound"), number("gb_s", "GB/s"), number("gflop_s", "GFLOP/s"),
  number("error", "error / allowed", errorText), text("digest"), number("intensity", "FLOP/B"), number("launches", "launches", value => value ?? ""), number("allocations", "allocations", value => value ?? ""), number("calls", "calls", value => value), number("looks", "looks", value => value),
  number("peak_bytes", "peak", value => known(value) ? bytesText(value) : ""), number("compile_ms", "compiled, ms"), number("ghz", "GHz"), number("load", "load"), number("joules", "J"), text("note"),
].filter(Boolean);
const FILTERS = ["op", "phase", "variant", "verdict", "cache", ...(several(row => row.clock) ? ["clock"] : [])];
const tableDomain = ratioDomain(rows);

function buildTable() {
  const options = key => [["", "all"], ...distinct(rows.map(row => row[key] ?? "")).filter(Boolean).map(value => [value, value])];
  const search = el("input", { type: "search", "data-key": "q", size: 18, oninput: () => { state.q = search.value; writeAddress(); drawTable(); } });
  const clear = () => { for (const key of [...FILTERS, "q"]) state[key] = ""; writeAddress(); drawTable(); };
  byId("filters").replaceChildren(...FILTERS.map(key => select(key, key, options(key), drawTable)), el("label", {}, "words", search),
    el("button", { type: "button", onclick: () => { clear(); state.verdict = "SLOWER"; writeAddress(); drawTable(); } }, "only lost"),
    el("button", { type: "button", onclick: clear }, "all rows"));
  const sortBy = key => { state.sort = state.sort === key ? `-${key}` : key; writeAddress(); drawTable(); };
  byId("table").tHead.replaceChildren(el("tr", {}, ...COLUMNS.map(column =>
    el("th", { scope: "col", class: column.number && "number", "data-column": column.key }, el("button", { type: "button", onclick: () => sortBy(column.key) }, column.name)))));
}

function chosenRows() {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const passes = row => FILTERS.every(key => !state[key] || row[key] === state[key])
    && words.every(word => [row.op, row.case, row.phase, row.variant, row.verdict ?? "", row.bound ?? ""].join(" ").toLowerCase().includes(word));
  const down = state.sort.startsWith("-"), column = COLUMNS.find(({ key }) => key === state.sort.replace("-", ""));
  if (!column) return rows.filter(passes);
  const blank = value => value === "" || value === null || value === undefined || Number.isNaN(value);
  return rows.filter(passes).sort((a, b) => {
    const [x, y] = [column.read(a), column.read(b)];
    // Blanks stand last in both directions.
    if (blank(x) || blank(y)) return blank(x) - blank(y);
    return (down ? -1 : 1) * (column.number ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
  });
}

function drawTable() {
  syncControls();
  const chosen = chosenRows(), allLost = rows.filter(lost).length, lostHere = chosen.filter(lost).length;
  for (const head of byId("table").tHead.querySelectorAll("th")) {
    if (head.dataset.column === state.sort) head.setAttribute("aria-sort", "ascending");
    else if (`-${head.dataset.column}` === state.sort) head.setAttribute("aria-sort", "descending");
    else head.removeAttribute("aria-sort");
  }
  byId("count").textContent = `${chosen.length} of ${plural(rows.length, "row")}, ${lostHere} of ${allLost} lost ones among them.`;
  byId("table").tBodies[0].replaceChildren(...chosen.map(row => el("tr", { class: lost(row) && "lost" }, ...COLUMNS.map(column =>
    el("td", { class: [column.number && "number", lost(row) && ["ratio", "verdict"].includes(column.key) && "lost"].filter(Boolean).join(" ") },
      `${column.show(row)}`, column.bar && known(row.ratio) && row.ratio > 0 ? bar(row) : null)))));
}

/** The ratio as a bar from 1, on the same scale in every row. */
function bar(row) {
  const scale = logScale(tableDomain, [1, 83]), [from, to] = [scale.at(1), scale.at(row.ratio)];
  return svg("svg", { viewBox: "0 0 84 12", "aria-hidden": "true" },
    svg("rect", { x: Math.min(from, to), y: 2, width: Math.max(1, Math.abs(to - from)), height: 8, class: `mark ${kindOf(row)}` }), line(from, 0, from, 12, "one"));
}
