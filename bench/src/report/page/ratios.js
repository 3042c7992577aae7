// How much faster: a tile and a panel for each peer, and the cases of one operation.

const ratioAxis = domain => ({
  scale: range => logScale(domain, range), one: 1, text: value => `${value}×`, name: "peer's time / ours (log): right of 1, ours is faster",
});
const ratioDomain = all => around([...all.flatMap(row => [row.ratio, row.ratio_low, row.ratio_high]), 0.5, 2], 1.04);
const versionOf = peer => results.versions[peer] ? `${peer} ${results.versions[peer]}` : peer;
const totalOf = variant => summaries.find(summary => summary.op === null && summary.variant === variant && settingOf(summary) === state.show);

const fastText = shares => [1, 1.5, 2].map((least, i) => `${percent(shares[i])} at least ${least}×`).join(", ");

function drawTiles() {
  const tile = (of, value, ...rest) => el("div", { class: "tile" }, el("span", { class: "of" }, of), el("b", {}, value), ...rest);
  const tiles = peers.map(peer => {
    const total = totalOf(peer);
    if (!total) return tile(versionOf(peer), "–", "no row in this setting");
    const losses = total.lost ? el("span", { class: "lost" }, `◀ ${total.lost} lost`) : "none lost";
    return tile(`against ${versionOf(peer)}`, times(total.mean), `${times(total.lowest.ratio)} to ${times(total.highest.ratio)}, ${plural(total.rows, "row")}, `, losses, el("span", { class: "fast" }, `fast: ${fastText(total.fast)}`));
  });
  const reached = shown().filter(row => row.variant === OURS && known(row.roofline)).map(row => row.roofline);
  if (reached.length) tiles.push(tile("of the device's limit", percent(median(reached)), `median of ${plural(reached.length, "row")} of ours; ${percent(Math.min(...reached))} to ${percent(Math.max(...reached))}`));
  const control = totalOf(CONTROL);
  tiles.push(control
    ? tile("control, must be 1.00", times(control.mean), `${times(control.lowest.ratio)} to ${times(control.highest.ratio)}: the noise of this run`)
    : tile("control, must be 1.00", "–", "not measured in this setting"));
  byId("tiles").replaceChildren(...tiles);
}

function drawRatios() {
  const inSetting = shown().filter(row => isPeer(row) && known(row.ratio));
  const axis = ratioAxis(ratioDomain(inSetting.map(row => ({ ratio: row.ratio }))));
  panels("ratios", peers, (host, peer) => {
    const found = summaries.filter(summary => summary.op !== null && summary.variant === peer && settingOf(summary) === state.show);
    const lanes = found.sort((a, b) => a.mean - b.mean).map(summary => ({
      name: summary.op,
      note: `${times(summary.mean)}, ${summary.lost ? `${summary.lost} of ${summary.rows} lost` : plural(summary.rows, "row")}`,
      lost: summary.lost > 0,
      marks: inSetting.filter(row => row.op === summary.op && row.variant === peer)
        .map(row => ({ value: row.ratio, kind: kindOf(row), hint: describe(row) })),
      range: [summary.lowest.ratio, summary.highest.ratio],
      mean: summary.mean,
      meanKind: summary.mean < 1 ? "slower" : "faster",
      open: () => { state.bars = summary.op; writeAddress(); drawBars(); byId("bars-choices").scrollIntoView(); },
    }));
    return lanes.length && (() => drawLanes(host, [`Against ${versionOf(peer)}`], lanes, axis));
  }, "No peer was measured in this setting.");
}

/** A win needs no word beside its bar. */
const SHORT = { faster: "", same: "same", unsure: "unsure", slower: "lost" };

function drawBars() {
  syncControls();
  const ofOp = shown().filter(row => row.op === state.bars && isPeer(row) && known(row.ratio));
  const axis = ratioAxis(ratioDomain(ofOp)), problems = distinct(ofOp.map(keyOf));
  panels("bars", peers, (host, peer) => {
    const theirs = new Map(ofOp.filter(row => row.variant === peer).map(row => [keyOf(row), row]));
    // The same lanes for every peer, so that a case stands at one height; without a row the lane is blank.
    const lanes = problems.map(problem => {
      const row = theirs.get(problem), [, name, phase] = JSON.parse(problem);
      return row ? {
        name: `${name} ${phase}`, note: `${times(row.ratio)} ${SHORT[kindOf(row)]}`, lost: lost(row),
        bar: { value: row.ratio, low: row.ratio_low, high: row.ratio_high, kind: kindOf(row), hint: describe(row) },
      } : { name: `${name} ${phase}`, note: "" };
    });
    return theirs.size && (() => drawLanes(host, [`${state.bars} against ${versionOf(peer)}`], lanes, axis));
  }, "No peer has a row of this operation in this setting.");
}

/** A figure for each key for which `prepare` has something to draw; drawn when all are in the page and have their widths. */
function panels(id, keys, prepare, none) {
  const hosts = keys.map(key => ({ host: el("figure", { class: "chart" }), key }));
  const drawn = hosts.map(({ host, key }) => ({ host, draw: prepare(host, key) })).filter(({ draw }) => draw);
  byId(id).replaceChildren(...(drawn.length ? drawn.map(({ host }) => host) : [el("p", { class: "note" }, none)]));
  for (const { draw } of drawn) draw();
}

function drawNetworks() {
  const shownSums = networks.filter(sum => settingOf(sum) === state.show), names = distinct(shownSums.flatMap(sum => sum.peers.map(peer => peer.variant)));
  byId("networks-section").hidden = !shownSums.length;
  const head = (name, number) => el("th", { class: number && "number" }, name), cell = (text, kind = "") => el("td", { class: kind }, text);
  byId("networks").replaceChildren(el("table", {},
    el("thead", {}, el("tr", {}, head("network"), head("operation"), head("phase"), head("layers", true), head("ours, ms", true), ...names.map(name => head(name, true)))),
    el("tbody", {}, ...shownSums.map(sum => el("tr", {}, cell(sum.network), cell(sum.op), cell(sum.phase), cell(`${sum.layers} of ${sum.of}`, "number"), cell(significant(sum.ours_ms), "number"),
      ...names.map(name => { const peer = sum.peers.find(({ variant }) => variant === name); return cell(peer ? ratioText(peer.ratio) : "", peer && peer.ratio < 1 ? "number lost" : "number"); }))))));
}
