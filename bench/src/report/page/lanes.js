// Values of many groups above one axis, a lane a group.

/**
 * Draws lanes: `{name, note, lost, marks: [{value, kind, hint}], mean, range, bar: {value, low, high, kind, hint}, open}` each.
 * `axis` is `{scale(range), text(value), name, one}`: the line at `one` is what values are held against.
 */
function drawLanes(host, caption, lanes, axis) {
  const width = widthOf(host), narrow = width < 430;
  const longest = Math.max(0, ...lanes.map(lane => lane.name.length));
  const noted = Math.max(0, ...lanes.map(lane => lane.note?.length ?? 0));
  const left = narrow ? 4 : Math.min(width * 0.52, 6.3 * longest + 12), right = width - (noted && !narrow ? 6.8 * noted + 10 : 10);
  const pitch = narrow ? 34 : lanes.some(lane => lane.bar) ? 19 : 23, head = 6;
  const bottom = head + lanes.length * pitch, scale = axis.scale([left + 6, right - 6]);
  const parts = scale.ticks.map(tick => line(scale.at(tick), head, scale.at(tick), bottom + 4, "grid"));
  parts.push(line(scale.at(axis.one), head - 4, scale.at(axis.one), bottom + 6, "one"));
  for (const tick of scale.ticks) parts.push(label(scale.at(tick), bottom + 19, axis.text(tick), "axis", "middle"));
  parts.push(label((left + right) / 2, bottom + 37, axis.name, "axis", "middle"));
  lanes.forEach((lane, index) => {
    const y = head + index * pitch + (narrow ? 25 : pitch / 2);
    parts.push(laneLabels(lane, { narrow, left, right, width, y }));
    if (lane.range) parts.push(line(scale.at(lane.range[0]), y, scale.at(lane.range[1]), y, "range"));
    if (lane.bar) parts.push(...laneBar(lane.bar, scale, axis.one, y));
    // Lost rows last, so that no other mark hides them.
    const marks = [...lane.marks ?? []].sort((a, b) => (a.kind === "slower") - (b.kind === "slower"));
    for (const { value, kind, hint } of marks) parts.push(mark(kind, scale.at(value), y, hint));
    if (known(lane.mean)) {
      const stroke = line(scale.at(lane.mean), y - 8, scale.at(lane.mean), y + 8, "mean");
      parts.push(svg("g", { class: lane.meanKind ?? "" }, stroke));
    }
  });
  host.replaceChildren(el("figcaption", {}, ...caption), drawing(width, bottom + 44, caption[0], parts));
}

function laneLabels(lane, { narrow, left, right, width, y }) {
  const kind = lane.lost ? "lost" : "";
  const open = lane.open && { class: "lane", role: "button", tabindex: 0, onclick: lane.open,
    onkeydown: event => { if (event.key === "Enter") lane.open(); } };
  const limit = Math.floor((narrow ? width - 6.8 * (lane.note?.length ?? 0) - 8 : left - 8) / 6.2);
  const name = lane.name.length > limit ? lane.name.slice(0, limit - 1) + "…" : lane.name;
  const at = narrow ? label(0, y - 12, name) : label(left - 4, y + 4, name, "", "end");
  at.append(svg("title", {}, lane.name));
  const note = lane.note && (narrow ? label(width, y - 12, lane.note, `soft ${kind}`, "end") : label(right + 6, y + 4, lane.note, `soft ${kind}`));
  return svg("g", open || {}, at, note || null);
}

function laneBar({ value, low, high, kind, hint }, scale, one, y) {
  const [from, to] = [scale.at(one), scale.at(value)];
  const box = svg("rect", { x: Math.min(from, to), y: y - 5, width: Math.max(1, Math.abs(to - from)), height: 10, class: `mark ${kind}`,
    "data-hint": hint, "aria-label": hint, role: "img", tabindex: -1 });
  return known(low) && known(high) ? [box, line(scale.at(low), y, scale.at(high), y, "one")] : [box];
}
