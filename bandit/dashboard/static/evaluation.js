// An evaluation's intervals, and what each policy would have earned over time.

import { color, draw } from "./charts.js";

for (const bar of document.querySelectorAll(".interval[data-mean]")) {
  const { low, high, mean } = bar.dataset;
  bar.firstElementChild.style.left = `${low}%`;
  bar.firstElementChild.style.width = `${high - low}%`;
  bar.lastElementChild.style.left = `${mean}%`;
}

function trace(policy, index) {
  const points = policy.over_time;
  return {
    name: policy.name,
    x: points.map((each) => new Date(each.at_ms)),
    y: points.map((each) => each.value),
    error_y: {
      type: "data",
      symmetric: false,
      array: points.map((each) => (each.high === null ? 0 : each.high - each.value)),
      arrayminus: points.map((each) => (each.low === null ? 0 : each.value - each.low)),
      thickness: 1,
      width: 2,
    },
    mode: "lines+markers",
    line: { color: color(index) },
  };
}

function show() {
  const found = document.getElementById("judgement");
  if (!found) return;
  const { policies, share } = JSON.parse(found.textContent);
  const shown = policies.filter((each) => each.over_time.length);
  const says = shown.length
    ? `What ${shown.map((each) => each.name).join(", ")} would have earned, a stretch of time after the other, with 95 % intervals.`
    : "The log is too short to be cut into stretches.";
  draw("over-time", shown.map(trace), { yaxis: { tickformat: share ? ".1%" : "" } }, says);
}

show();
document.addEventListener("renewed", () => location.reload());
