// The head, the choices, and when what is drawn.

function drawHead() {
  const { machine, versions, ceilings } = results, began = results.began.replace("T", " ").replace(/:\d\d(\.\d+)?(?=Z|[+-]|$)/, "");
  byId("title").textContent = machine.device || "Unknown device";
  document.title = `Ghostlight bench: ${machine.device}, ${began}`;
  const facts = [
    ["runtime", machine.runtime], ["driver", machine.driver],
    ["host", `${machine.system}, ${plural(machine.cores, "core")}, ${bytesText(machine.memory)}`],
    ["measured", `${began}, ${Math.round(results.seconds / 60) || "under 1"} min`],
    ["commit", results.commit || "not in a checkout"], ["clock", distinct(rows.map(row => row.clock)).join(", ")],
    ["ceilings", [ceilings.gflop_s > 0 ? `${significant(ceilings.gflop_s)} GFLOP/s` : "", ...(ceilings.peaks ?? []).map(peak => `${significant(peak.g_s)} G/s ${peak.work} (${peak.dtype})`),
      `${significant(ceilings.launch_us)} µs an empty launch`].filter(Boolean).join(", ")],
    ["rows", `${rows.length}, ${results.refused.length} refused`],
    ["versions", Object.entries(versions).map(pair => pair.join(" ")).join(", "), "wide"],
    ["command", el("code", {}, results.command), "wide"],
  ];
  byId("facts").replaceChildren(...facts.flatMap(([name, value, kind]) => [el("dt", {}, name), el("dd", { class: kind }, value)]));
}

function buildChoices() {
  const pairs = values => values.map(value => [value, value]);
  byId("settings").replaceChildren(...buttons("Shown: caches, clock", "show", pairs(settings), drawCharts));
  byId("settings").hidden = settings.length < 2;
  byId("bars-choices").replaceChildren(select("operation", "bars", pairs(ops), drawBars));
  byId("mark-choices").replaceChildren(select("bring out", "mark", [["", "all operations"], ...pairs(ops)], drawRoofline));
  byId("metric-choices").replaceChildren(...buttons("Height:", "metric", Object.entries(METRICS), drawSweeps));
  byId("ratio-legend").replaceChildren(...legend({ faster: "ours is faster", slower: "the peer is faster: lost", same: "the same within the noise", unsure: "cannot be told" }));
  const binding = distinct(rows.map(row => row.bound)).filter(Boolean);
  const bounds = { memory: "memory", "multiply-adds": "multiply-adds", exponentials: "exponentials", logarithms: "logarithms", divisions: "divisions and roots", compares: "comparisons", launch: "launches" };
  byId("bound-legend").replaceChildren(...legend(Object.fromEntries(Object.entries(bounds).filter(([bound]) => binding.includes(bound)).map(([bound, text]) => [bound, `bound by ${text}`]))));
  for (const form of document.forms) form.addEventListener("submit", event => event.preventDefault());
  byId("save").addEventListener("click", () => {
    const file = URL.createObjectURL(new Blob([JSON.stringify(results, null, 2) + "\n"], { type: "application/json" }));
    el("a", { href: file, download: "results.json" }).click();
    URL.revokeObjectURL(file);
  });
}

function drawCharts() {
  syncControls();
  for (const draw of [drawTiles, drawRatios, drawBars, drawNetworks, drawLimits, drawRoofline, drawTrust, drawSweeps]) draw();
}

function guarded(draw) {
  try {
    draw();
  } catch (error) {
    byId("failed").hidden = false;
    byId("failed").textContent = `The page's script failed, and what is below is not complete: ${error.message}. results.md has the same figures.`;
    throw error;
  }
}

guarded(() => {
  readAddress();
  drawHead();
  buildChoices();
  buildTable();
  drawCharts();
  drawTable();
  document.documentElement.dataset.ready = "";
});
addEventListener("hashchange", () => guarded(() => { readAddress(); drawCharts(); drawTable(); }));
let drawnAt = innerWidth;
addEventListener("resize", () => {
  // A page that is being printed keeps its drawings, which scale.
  if (innerWidth !== drawnAt && !matchMedia("print").matches) {
    drawnAt = innerWidth;
    guarded(drawCharts);
  }
});
