// An evaluation's intervals, and what each policy would have earned over time.

import { color, draw, faint } from "./charts.js";
import { amount } from "./format.js";

for (const bar of document.querySelectorAll(".interval[data-mean]")) {
  const { low, high, mean } = bar.dataset;
  bar.firstElementChild.style.left = `${low}%`;
  bar.firstElementChild.style.width = `${high - low}%`;
  bar.lastElementChild.style.left = `${mean}%`;
}

// The band of the policy that is online; the others' would hide it, and are in the hover.
function band(policy) {
  const points = policy.over_time.filter((each) => each.low !== null);
  const x = points.map((each) => new Date(each.at_ms));
  const edge = { x, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false };
  return [
    { ...edge, y: points.map((each) => each.low) },
    { ...edge, y: points.map((each) => each.high), fill: "tonexty", fillcolor: faint(0) },
  ];
}

function trace(policy, index, share) {
  const points = policy.over_time;
  const told = (each) => (each.low === null ? "" : ` (${amount(each.low, share)} to ${amount(each.high, share)})`);
  return {
    name: policy.name,
    x: points.map((each) => new Date(each.at_ms)),
    y: points.map((each) => each.value),
    text: points.map((each) => amount(each.value, share) + told(each)),
    hovertemplate: "%{text}",
    mode: "lines",
    line: { color: color(index), width: policy.origin === "Online" ? 2.5 : 1.25 },
  };
}

function show() {
  const found = document.getElementById("judgement");
  if (!found) return;
  const { policies, share } = JSON.parse(found.textContent);
  const shown = policies.filter((each) => each.over_time.length);
  const says = shown.length
    ? `What ${shown.map((each) => each.name).join(", ")} would have earned, a stretch of time after the other, with the 95 % band of the one that is online.`
    : "The log is too short to be cut into stretches.";
  const online = shown.filter((each) => each.origin === "Online");
  const traces = [...online.flatMap(band), ...shown.map((each, index) => trace(each, index, share))];
  draw("over-time", traces, { yaxis: { tickformat: share ? ".1%" : "" } }, says);
}

show();
document.addEventListener("renewed", () => location.reload());
