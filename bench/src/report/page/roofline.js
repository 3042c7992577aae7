// How far from the limit: the share that was reached, by operation, and the roofline.

const oursShown = () => shown().filter(row => row.variant === OURS);

function drawLimits() {
  const reached = oursShown().filter(row => known(row.roofline));
  const top = Math.max(1, ...reached.map(row => row.roofline)) * 1.02;
  const axis = {
    scale: range => linearScale([0, top], range, top > 2 ? 0.5 : 0.25), one: 1, text: value => `${Math.round(100 * value)} %`,
    name: "share of the limit that ours reaches",
  };
  const lanes = distinct(reached.map(row => row.op)).map(op => {
    const ofOp = reached.filter(row => row.op === op), middle = median(ofOp.map(row => row.roofline));
    const values = ofOp.map(row => row.roofline);
    return {
      name: op, note: `median ${percent(middle)}`, middle, mean: middle, range: [Math.min(...values), Math.max(...values)],
      marks: ofOp.map(row => ({ value: row.roofline, kind: row.bound ?? "launch", hint: describe(row) })),
      open: () => { state.mark = op; writeAddress(); drawRoofline(); byId("mark-choices").scrollIntoView(); },
    };
  }).sort((a, b) => a.middle - b.middle);
  const half = Math.ceil(lanes.length / 2), cut = lanes.length > 6 ? [lanes.slice(0, half), lanes.slice(half)] : [lanes];
  panels("limits", cut, (host, part) => part.length && (() => drawLanes(host, [part === cut[0] ? "Farthest from it" : "Nearest to it"], part, axis)),
    "No row has a limit.");
}

/** A few bandwidths of the caches shown that can be told apart: of copies if there are any, the largest working set first. */
function memoryCeilings() {
  const all = results.ceilings.memory.filter(point => oursShown().every(row => row.cache === point.cache));
  const access = ["copy", "read", "write"].find(name => all.some(point => point.access === name)) ?? all[0]?.access;
  const falling = all.filter(point => point.access === access && point.gb_s > 0).sort((a, b) => b.bytes - a.bytes);
  return falling.reduce((kept, point) => kept.length && point.gb_s < 1.7 * kept.at(-1).gb_s ? kept : [...kept, point], []);
}

function drawRoofline() {
  syncControls();
  const host = byId("roofline"), ours = oursShown(), points = ours.filter(row => row.intensity > 0 && row.gflop_s > 0);
  const peak = results.ceilings.gflop_s, width = widthOf(host), height = Math.min(520, Math.max(340, width * 0.5));
  const told = memoryCeilings(), roofs = width < 560 ? [told[0], told.at(-1)].filter((roof, index) => roof && roof !== told[index - 1]) : told.slice(0, 4);
  const left = 46, right = width - 12, top = 18, bottom = height - 44;
  const ridges = peak > 0 ? roofs.map(roof => peak / roof.gb_s) : [];
  const x = logScale(around([...points.map(row => row.intensity), ...ridges.map(ridge => 1.6 * ridge)], 1.5), [left, right]);
  const highs = around([...points.map(row => row.gflop_s), ...(peak > 0 ? [peak] : [])], 1.5);
  const y = logScale(highs, [bottom, top]);
  const parts = [...x.ticks.map(tick => line(x.at(tick), top, x.at(tick), bottom, "grid")), ...y.ticks.map(tick => line(left, y.at(tick), right, y.at(tick), "grid"))];
  for (const tick of x.ticks) parts.push(label(x.at(tick), bottom + 18, `${tick}`, "axis", "middle"));
  for (const tick of y.ticks) parts.push(label(left - 6, y.at(tick) + 4, `${tick}`, "axis", "end"));
  parts.push(label((left + right) / 2, height - 6, "intensity, FLOP per needed byte (log)", "axis", "middle"), label(0, 11, "GFLOP/s (log)", "axis"));
  const places = points.map(row => [x.at(row.intensity), y.at(row.gflop_s)]);
  const [lines, words] = ceilingLines({ roofs, peak, x, y, left, right, top, bottom, width, places });
  parts.push(...lines);
  const order = [...points].sort((a, b) => (a.op === state.mark) - (b.op === state.mark));
  for (const row of order)
    parts.push(mark(row.bound ?? "launch", x.at(row.intensity), y.at(row.gflop_s), describe(row), state.mark && row.op !== state.mark));
  host.replaceChildren(drawing(width, height, "Roofline of ours", [...parts, ...words]));
  const without = ours.length - points.length;
  byId("roofline-note").textContent = "Slanted lines are the bandwidth of a copy of so many bytes, the level one is the most multiply-adds. "
    + "Each row is held against the bandwidth at its own working set, so a point may lie above the line of a larger one."
    + (without ? ` ${plural(without, "row")} without multiply-adds cannot stand in this plot; the shares above have them.` : "");
}

function ceilingLines({ roofs, peak, x, y, left, right, top, bottom, width, places }) {
  const inverse = (scale, [low, high], pixel) => Math.exp(Math.log(low) + (pixel - scale.at(low)) / (scale.at(high) - scale.at(low)) * Math.log(high / low));
  const lowX = inverse(x, [1, 10], left), highX = inverse(x, [1, 10], right), lowY = inverse(y, [1, 10], bottom), highY = inverse(y, [1, 10], top);
  const ceiling = peak > 0 ? Math.min(peak, highY) : highY, lines = [], texts = [];
  roofs.forEach((roof, index) => {
    const from = Math.max(lowX, lowY / roof.gb_s), to = Math.min(highX, ceiling / roof.gb_s);
    if (from >= to) return;
    const [x1, y1, x2, y2] = [x.at(from), y.at(from * roof.gb_s), x.at(to), y.at(to * roof.gb_s)];
    lines.push(line(x1, y1, x2, y2, index ? "roof" : "roof first"));
    const angle = Math.atan2(y2 - y1, x2 - x1), length = Math.hypot(x2 - x1, y2 - y1);
    const words = width < 560 ? `${bytesText(roof.bytes)}: ${significant(roof.gb_s)} GB/s` : `${roof.cache} ${roof.access} of ${bytesText(roof.bytes)}: ${significant(roof.gb_s)} GB/s`;
    const room = 6.3 * words.length;
    if (length < room) return;
    // Where it covers the fewest points.
    const covered = away => places.filter(([px, py]) => {
      const along = (px - x1) * Math.cos(angle) + (py - y1) * Math.sin(angle), across = (py - y1) * Math.cos(angle) - (px - x1) * Math.sin(angle);
      return along > away - room - 6 && along < away + 6 && across > -22 && across < 4;
    }).length;
    const free = Array.from({ length: 8 }, (_, step) => room + (length - room) * (0.97 - step * 0.12));
    const away = free.reduce((best, next) => covered(next) < covered(best) ? next : best);
    const text = label(0, -5, words, "roof", "end");
    text.setAttribute("transform", `translate(${x1 + away * Math.cos(angle)} ${y1 + away * Math.sin(angle)}) rotate(${angle * 180 / Math.PI})`);
    texts.push(text);
  });
  if (peak > 0) {
    const ridge = Math.max(left, Math.min(right, x.at(Math.max(lowX, peak / Math.max(...roofs.map(roof => roof.gb_s), 1e-9)))));
    lines.push(line(ridge, y.at(peak), right, y.at(peak), "roof first"));
    texts.push(label(right, y.at(peak) - 6, `${significant(peak)} GFLOP/s of multiply-adds`, "roof", "end"));
  }
  return [lines, texts];
}
