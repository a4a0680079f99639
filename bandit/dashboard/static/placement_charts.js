// The charts of a placement, each with a sentence that says what it shows.

import { OTHERS, color, draw, faint, marks, soft } from "./charts.js";
import { amount, count } from "./format.js";

const TRACES = 12;

function short(text) {
  return text.length > 42 ? `${text.slice(0, 40)}…` : text;
}

// The creatives of the points by their whole pmf, the likeliest first.
function likeliest(points) {
  const sums = new Map();
  for (const point of points) {
    for (const [name, of] of Object.entries(point.creatives)) sums.set(name, (sums.get(name) ?? 0) + of.pmf);
  }
  return [...sums].sort((a, b) => b[1] - a[1]).map(([name]) => name).slice(0, TRACES);
}

function showPmf(points, times, own, texts) {
  const names = likeliest(points);
  const traces = names.map((name, index) => ({
    type: "scatter", mode: "lines", stackgroup: "pmf", name: short(texts.get(name) ?? name), x: times,
    y: points.map((point) => point.creatives[name]?.pmf ?? 0), line: { width: 0.5, color: color(index) },
    fillcolor: color(index), hovertemplate: "%{y:.1%}",
  }));
  const rest = points.map((point) => Math.max(0, 1 - names.reduce((sum, name) => sum + (point.creatives[name]?.pmf ?? 0), 0)));
  if (rest.some((each) => each > 0.005)) {
    traces.push({ type: "scatter", mode: "lines", stackgroup: "pmf", name: OTHERS, x: times, y: rest,
      line: { width: 0.5, color: soft() }, fillcolor: soft(), hovertemplate: "%{y:.1%}" });
  }
  const last = points.at(-1);
  const best = names.reduce((a, b) => ((last?.creatives[b]?.pmf ?? 0) > (last?.creatives[a]?.pmf ?? 0) ? b : a), names[0]);
  const says = last
    ? `Of late “${short(texts.get(best) ?? best)}” has ${amount(last.creatives[best]?.pmf, true)} of the pmf.`
    : "No decision in this time. Choose a longer range, or ask for a rank.";
  draw("pmf", points.length ? traces : [], { ...own, yaxis: { range: [0, 1], tickformat: ".0%" } }, says);
}

function showReward(points, times, own, share) {
  const known = points.map((point) => point.low !== null);
  const banded = points.filter((_, index) => known[index]);
  const bandTimes = times.filter((_, index) => known[index]);
  const format = share ? ".2%" : ".4g";
  const traces = [
    { type: "scatter", mode: "lines", x: bandTimes, y: banded.map((p) => p.low), line: { width: 0 }, hoverinfo: "skip", showlegend: false },
    { type: "scatter", mode: "lines", x: bandTimes, y: banded.map((p) => p.high), line: { width: 0 }, fill: "tonexty",
      fillcolor: faint(0), name: "95 % band", hoverinfo: "skip" },
    { type: "scatter", mode: "lines+markers", x: times, y: points.map((p) => p.rate), name: "reward rate",
      line: { color: color(0), width: 2 }, marker: { size: 4 }, hovertemplate: `%{y:${format}}` },
  ];
  const last = points.at(-1);
  const says = last
    ? `${amount(last.rate, share)} a showing of late, in ${count(last.shown)} showings. Dotted lines are changes of the policy.`
    : "No decision in this time.";
  draw("reward", points.length ? traces : [], { ...own, yaxis: { tickformat: share ? ".1%" : "", rangemode: "tozero" } }, says);
}

function showExploration(points, times, own) {
  const trace = { type: "scatter", mode: "lines", x: times, y: points.map((p) => p.explored), name: "explored",
    line: { color: color(1), width: 2 }, fill: "tozeroy", fillcolor: faint(1), hovertemplate: "%{y:.1%}" };
  const last = points.at(-1);
  const says = last ? `${amount(last.explored, true)} of late goes to others than the likeliest.` : "No decision in this time.";
  draw("exploration", points.length ? [trace] : [], { ...own, yaxis: { tickformat: ".2~%", rangemode: "tozero" } }, says);
}

// A bucket is drawn at its start; the last one goes on to its end, or to now.
function extended(points, lengthMs) {
  const last = points.at(-1);
  if (!last) return points;
  const endMs = Math.max(last.start_ms + 1000, Math.min(Date.now(), last.start_ms + lengthMs));
  return [...points, { ...last, start_ms: endMs }];
}

export function showTimes(counted, policies, { share, texts, since, bucketMs }) {
  const points = extended(counted, bucketMs);
  const times = points.map((point) => new Date(point.start_ms));
  const from = Math.max(since, (points[0]?.start_ms ?? since) - bucketMs / 10);
  const to = (points.at(-1)?.start_ms ?? Date.now()) + bucketMs / 10;
  const own = { ...marks(policies, from, to), xaxis: { type: "date", range: [new Date(from), new Date(to)] } };
  showPmf(points, times, own, texts);
  showReward(points, times, own, share);
  showExploration(points, times, own);
}

const UNITS = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
function within(seconds) {
  const [size, unit] = UNITS.find(([each]) => seconds >= each) ?? UNITS.at(-1);
  return `${+(seconds / size).toPrecision(3)} ${unit}`;
}

export function showDelays(delays) {
  const traces = delays.map((delay, index) => {
    const total = delay.counts.reduce((a, b) => a + b, 0);
    let sum = 0;
    const y = delay.counts.map((each) => (sum += each) / total);
    return { type: "scatter", mode: "lines+markers", name: delay.kind, x: delay.within_seconds.slice(0, -1), y: y.slice(0, -1),
      line: { color: color(index), shape: "hv" }, text: delay.within_seconds.slice(0, -1).map(within),
      hovertemplate: "%{y:.1%} within %{text}" };
  });
  const ticks = delays[0]?.within_seconds.slice(0, -1) ?? [];
  const own = { hovermode: "closest", yaxis: { tickformat: ".0%", range: [0, 1.02] },
    xaxis: { type: "log", tickvals: ticks, ticktext: ticks.map(within), tickangle: -45 } };
  const says = delays.map((delay) => {
    const total = delay.counts.reduce((a, b) => a + b, 0);
    let sum = 0;
    const half = delay.counts.findIndex((each) => (sum += each) >= total / 2);
    const time = delay.within_seconds[half];
    return `Half of ${count(total)} ${delay.kind}s came within ${time === null ? "more than a week" : within(time)}.`;
  }).join(" ");
  draw("delay", traces, own, says || "No outcome yet. Report one with POST …/events/EVENT_ID/outcomes.");
}

export function showFatigue(fatigue, share) {
  const known = fatigue.filter((each) => each.rate !== null);
  const name = (each) => (each.seen_to === null ? `${each.seen_from}+` : each.seen_from === each.seen_to ? `${each.seen_from}` : `${each.seen_from}–${each.seen_to}`);
  const trace = { type: "scatter", mode: "lines+markers", x: known.map(name), y: known.map((each) => each.rate),
    line: { color: color(3) }, marker: { size: 7 },
    error_y: { type: "data", symmetric: false, array: known.map((e) => (e.high === null ? 0 : e.high - e.rate)),
      arrayminus: known.map((e) => (e.low === null ? 0 : e.rate - e.low)), thickness: 1.2 },
    hovertemplate: share ? "%{y:.2%}" : "%{y:.4g}" };
  const own = { hovermode: "closest", xaxis: { type: "category", title: { text: "seen before" } },
    yaxis: { tickformat: share ? ".1%" : "", rangemode: "tozero" } };
  const says = known.length > 1
    ? `${amount(known[0].rate, share)} where it was never seen before, ${amount(known.at(-1).rate, share)} where it was seen ${name(known.at(-1))} times.`
    : "Contexts do not say how often their user saw a creative. Send “seen” in the context of a rank: {\"seen\": {\"CREATIVE_ID\": 2}}.";
  draw("fatigue", known.length > 1 ? [trace] : [], own, says);
}
