// Elements, scales, marks and their hints: what the charts share.

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter(child => child !== null && child !== undefined));
  return node;
}
const el = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
const line = (x1, y1, x2, y2, kind) => svg("line", { x1, y1, x2, y2, class: kind });
const label = (x, y, text, kind = "", anchor = "start") => svg("text", { x, y, class: kind, "text-anchor": anchor }, text);

const SHAPES = {
  circle: r => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
  left: r => `M${-1.3 * r} 0L${0.9 * r} ${-1.2 * r}V${1.2 * r}z`,
  square: r => `M${-0.85 * r} ${-0.85 * r}h${1.7 * r}v${1.7 * r}h${-1.7 * r}z`,
  diamond: r => `M0 ${-1.25 * r}L${1.25 * r} 0L0 ${1.25 * r}L${-1.25 * r} 0z`,
  up: r => `M0 ${-1.2 * r}L${1.2 * r} ${0.9 * r}H${-1.2 * r}z`,
};
// Each kind has a shape of its own, so that nothing is told by colour alone.
const KINDS = {
  faster: "circle", slower: "left", same: "square", unsure: "circle hollow",
  memory: "circle", "multiply-adds": "diamond", exponentials: "up", logarithms: "up hollow", divisions: "left", compares: "square",
  launch: "square hollow",
  series0: "circle", series1: "square", series2: "diamond", series3: "up", series4: "circle hollow",
};
function mark(kind, x, y, hint, faint = false, r = 4.5) {
  const [shape, hollow] = KINDS[kind].split(" ");
  const attributes = { d: SHAPES[shape](r), transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` };
  attributes.class = ["mark", kind, hollow, faint && "faint"].filter(Boolean).join(" ");
  if (hint) Object.assign(attributes, { "data-hint": hint, "aria-label": hint, role: "img", tabindex: -1 });
  return svg("path", attributes);
}
const legend = kinds => Object.entries(kinds).map(([kind, text]) =>
  el("span", {}, svg("svg", { viewBox: "-7 -7 14 14", "aria-hidden": "true" }, mark(kind, 0, 0)), text));

/** Domain to pixels, by logarithms; ticks at 1, 2 and 5 of every decade, or at the decades where they would crowd. */
function logScale([low, high], [from, to]) {
  const span = Math.log(high / low) || 1;
  const at = value => from + (to - from) * Math.log(value / low) / span;
  const within = value => value >= low * 0.999 && value <= high * 1.001;
  const ticks = steps => {
    const found = [];
    for (let decade = Math.floor(Math.log10(low)); decade <= Math.log10(high); decade++)
      for (const step of steps) found.push(Number((step * 10 ** decade).toPrecision(3)));
    return found.filter(within);
  };
  // Numbers on a level axis stand beside each other, on an upright one above each other.
  const room = Math.abs(to - from) / (to > from ? 42 : 24);
  const fine = ticks([1, 2, 5]);
  return { at, ticks: fine.length <= room ? fine : ticks([1]) };
}
function linearScale([low, high], [from, to], step) {
  const ticks = [];
  for (let value = low; value <= high * 1.001; value += step) ticks.push(value);
  return { at: value => from + (to - from) * (value - low) / (high - low), ticks };
}
/** The smallest range around all values, with air on both sides. */
function around(values, air = 1.12) {
  const positive = values.filter(value => known(value) && value > 0);
  return positive.length ? [Math.min(...positive) / air, Math.max(...positive) * air] : [0.5, 2];
}

const widthOf = host => Math.max(260, Math.floor(host.clientWidth || 640));
/** A figure's drawing: a group that is entered with the tabulator and walked with the arrow keys. */
function drawing(width, height, name, children) {
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": name }, ...children);
  root.querySelector("[data-hint]")?.setAttribute("tabindex", 0);
  return root;
}

const tip = byId("tip");
function showTip(target) {
  tip.textContent = target.dataset.hint;
  tip.hidden = false;
  const box = target.getBoundingClientRect(), size = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, box.left + box.width / 2 - size.width / 2), document.documentElement.clientWidth - size.width - 8);
  const above = box.top - size.height - 8;
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${(above > 4 ? above : box.bottom + 8) + scrollY}px`;
}
const hinted = event => event.target.closest?.("[data-hint]");
for (const kind of ["pointerover", "focusin", "click"]) document.addEventListener(kind, event => {
  if (hinted(event)) showTip(hinted(event)); else if (kind !== "focusin") tip.hidden = true;
});
document.addEventListener("focusout", () => { tip.hidden = true; });
document.addEventListener("keydown", event => {
  const from = hinted(event);
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (event.key === "Escape") tip.hidden = true;
  if (!from || !step) return;
  event.preventDefault();
  const all = [...from.ownerSVGElement.querySelectorAll("[data-hint]")];
  const next = all[(all.indexOf(from) + step + all.length) % all.length];
  from.setAttribute("tabindex", -1);
  next.setAttribute("tabindex", 0);
  next.focus();
});

/** A select, or a row of buttons where few values are to choose from. */
function select(name, key, values, draw) {
  const input = el("select", { onchange: () => { state[key] = input.value; writeAddress(); draw(); }, "data-key": key },
    ...values.map(([value, text]) => el("option", { value }, text)));
  return el("label", {}, name, input);
}
function buttons(name, key, values, draw) {
  return [el("span", { class: "name" }, name), ...values.map(([value, text]) =>
    el("button", { type: "button", "data-key": key, value, onclick: () => { state[key] = value; writeAddress(); draw(); } }, text))];
}
function syncControls() {
  for (const control of document.querySelectorAll("[data-key]")) {
    const value = state[control.dataset.key];
    if (control.tagName === "BUTTON") control.setAttribute("aria-pressed", control.value === value);
    else if (control.value !== value) control.value = value;
  }
}
