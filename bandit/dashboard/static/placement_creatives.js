// The table of creatives: shares, posteriors and rates, the likeliest first.

import { amount, band, count, element, put } from "./format.js";

const body = document.querySelector("#creatives tbody");
const rows = new Map([...(body?.rows ?? [])].map((row) => [row.dataset.creative, row]));
const shares = new Map();
const cell = (row, name) => row.querySelector(`[data-is=${name}]`);

function showShare(row, pmf) {
  const target = cell(row, "share");
  let bar = target.querySelector("i");
  if (!bar) {
    target.replaceChildren(element("span"), element("span", "bar-of"));
    target.lastChild.append(element("i"));
    bar = target.querySelector("i");
  }
  const text = amount(pmf, true);
  if (target.firstChild.textContent === text) return;
  target.firstChild.textContent = text;
  bar.style.width = `${100 * pmf}%`;
}

// The mean as a dot, the middle 95 % as a line, on an axis that all rows share.
function showPosterior(row, posterior, low, high, share) {
  const target = cell(row, "posterior");
  if (!posterior) {
    put(target, "–");
    return;
  }
  const at = (value) => `${(100 * (value - low)) / (high - low || 1)}%`;
  const graph = element("span", "interval");
  const line = element("i");
  line.style.left = at(posterior.low);
  line.style.width = `calc(${at(posterior.high)} - ${at(posterior.low)})`;
  const dot = element("b");
  dot.style.left = at(posterior.mean);
  graph.append(line, dot);
  graph.setAttribute("aria-hidden", "true");
  const words = `${amount(posterior.mean, share)} (${amount(posterior.low, share)} to ${amount(posterior.high, share)})`;
  target.replaceChildren(graph, element("span", "band", words));
}

function showDrift(row, drift, share) {
  const target = cell(row, "drift");
  target.className = drift?.drifts ? "warn" : "soft";
  target.title = drift?.drifts ? `since ${new Date(drift.since_ms).toLocaleString()}` : "";
  target.textContent = drift?.drifts
    ? `${amount(drift.before, share)} → ${amount(drift.after, share)}`
    : drift ? "none seen" : "";
}

function sort() {
  const shown = (row) => Number(row.dataset.shown ?? 0);
  const order = [...rows.values()].sort((a, b) =>
    (shares.get(b.dataset.creative) ?? 0) - (shares.get(a.dataset.creative) ?? 0) || shown(b) - shown(a));
  if (order.some((row, index) => row !== body.rows[index]) && !body.contains(document.activeElement)) {
    body.append(...order);
  }
}

export function showCreatives({ creatives, shares: news }, share) {
  for (const [name, of] of Object.entries(news ?? {})) {
    const pmf = typeof of === "number" ? of : of.pmf;
    shares.set(name, pmf);
    if (rows.has(name)) showShare(rows.get(name), pmf);
  }
  if (!creatives) return;
  const known = [...rows.keys()].map((name) => creatives[name]?.posterior).filter(Boolean);
  const low = known.reduce((least, each) => Math.min(least, each.low), Infinity);
  const high = known.reduce((most, each) => Math.max(most, each.high), -Infinity);
  for (const [name, row] of rows) {
    const of = creatives[name];
    if (!of) continue;
    row.dataset.shown = of.shown;
    put(cell(row, "shown"), count(of.shown));
    put(cell(row, "rate"), amount(of.rate, share), band(of, share));
    showPosterior(row, of.posterior, low, high, share);
    showDrift(row, of.drift, share);
  }
  sort();
}
