// A creative's page: how it does, over time and by segment.

import { color, draw, faint, marks } from "./charts.js";
import { amount, band, count, element, put } from "./format.js";

const EVERY_MS = 15_000;
const MONTH_MS = 30 * 24 * 3_600_000;
const DAY_MS = 24 * 3_600_000;
const own = document.getElementById("creative").dataset;
const share = own.share === "1";

function showNow(of, points) {
  const last = points.at(-1)?.creatives[own.id];
  put(document.getElementById("now-share"), amount(last?.pmf, true));
  put(document.getElementById("now-shown"), count(of?.shown ?? 0));
  put(document.getElementById("now-rate"), amount(of?.rate, share), of ? band(of, share) : "");
  const belief = of?.posterior;
  put(document.getElementById("now-posterior"), amount(belief?.mean, share), belief ? band(belief, share) : "none of it alone");
}

function showHistory(figures) {
  const points = figures.points.map((each) => ({ start_ms: each.start_ms, ...each.creatives[own.id] })).filter((each) => each.shown);
  const at = points.map((each) => new Date(each.start_ms));
  const known = points.map((each) => each.low !== null);
  const bands = (name) => points.map((each) => each[name]).filter((_, index) => known[index]);
  const bandAt = at.filter((_, index) => known[index]);
  const traces = [
    { type: "scatter", mode: "lines", x: bandAt, y: bands("low"), line: { width: 0 }, hoverinfo: "skip", showlegend: false },
    { type: "scatter", mode: "lines", x: bandAt, y: bands("high"), line: { width: 0 }, fill: "tonexty", fillcolor: faint(0), name: "95 % band", hoverinfo: "skip" },
    { type: "scatter", mode: "lines+markers", x: at, y: points.map((each) => each.rate), name: "reward rate", line: { color: color(0) },
      marker: { size: 5 }, hovertemplate: share ? "%{y:.2%}" : "%{y:.4g}" },
  ];
  const from = points[0]?.start_ms ?? 0;
  const layout = { ...marks(figures.policies, from, Date.now()), xaxis: { type: "date" }, yaxis: { tickformat: share ? ".1%" : "", rangemode: "tozero" } };
  const unit = figures.bucket_seconds === 60 ? "minute" : "hour";
  draw("history", points.length ? traces : [], layout, points.length
    ? `By the ${unit}: ${amount(points.at(-1).rate, share)} of late, in ${count(points.at(-1).shown)} showings.`
    : "It was not shown yet.");
}

function showSegments(segments) {
  const rows = [];
  for (const [field, values] of Object.entries(segments)) {
    for (const [value, of] of Object.entries(values)) {
      const mine = of[own.id];
      if (!mine) continue;
      const others = Object.entries(of).filter(([name]) => name !== own.id);
      const shown = others.reduce((sum, [, each]) => sum + each.shown, 0);
      const reward = others.reduce((sum, [, each]) => sum + each.reward, 0);
      const row = element("tr");
      const name = element("th", "", `${field}: ${value}`);
      name.scope = "row";
      const rate = element("td", "n");
      put(rate, amount(mine.rate, share), band(mine, share));
      row.append(name, element("td", "n", count(mine.shown)), rate, element("td", "n", shown ? amount(reward / shown, share) : "–"));
      rows.push(row);
    }
  }
  document.querySelector("#by-segment tbody").replaceChildren(...rows);
  document.getElementById("by-segment-says").textContent = rows.length ? "" : "It was not shown in a context with texts or booleans yet.";
}

async function figures(resolution, sinceMs) {
  const query = new URLSearchParams({ resolution, since_ms: sinceMs, creative: own.id });
  const answer = await fetch(`/ui/data/placements/${encodeURIComponent(own.placement)}/figures?${query}`).catch(() => null);
  return answer?.ok ? answer.json() : null;
}

async function refresh() {
  let found = await figures("hour", Date.now() - MONTH_MS);
  // a young one's hours are too few to see anything in
  if (found && found.points.length < 6) found = (await figures("minute", Date.now() - DAY_MS)) ?? found;
  if (found) {
    showNow(found.creatives[own.id], found.points);
    showHistory(found);
    showSegments(found.segments);
  }
  setTimeout(refresh, EVERY_MS);
}

refresh();
