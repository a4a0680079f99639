// Charts by Plotly: one look for all, redrawn in place, and to be taken away.

import { isDark, save } from "./page.js";

const LIGHT = ["#2a78d6", "#e07b39", "#2f9a67", "#b5508f", "#c29a12", "#7a62c9", "#3aa7b5", "#c64545",
  "#7d8b2f", "#8c6d5a", "#5b7a99", "#a6745f"];
const DARK = ["#5e9fee", "#f09a5c", "#57bf8b", "#d67ab2", "#dcb740", "#a08cec", "#5fc8d6", "#ea7373",
  "#a7b552", "#b8967f", "#86a6c6", "#cc9a86"];
export const OTHERS = "others";

export function color(index) {
  const colors = isDark() ? DARK : LIGHT;
  return colors[index % colors.length];
}

export function faint(index) {
  return `${color(index)}2e`;
}

export function soft() {
  return isDark() ? "#a6a9b3" : "#5a5c63";
}

function layout(own) {
  const line = isDark() ? "#35383f" : "#e3e2dc";
  const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: isDark() ? "#e9e9ec" : "#1c1d20", size: 12, family: "system-ui, sans-serif" },
    margin: { l: 48, r: 12, t: 12, b: 36 },
    hovermode: "x unified",
    hoverlabel: { bgcolor: isDark() ? "#1f2125" : "#ffffff", bordercolor: line, namelength: -1 },
    legend: { orientation: "h", y: -0.18, yanchor: "top", font: { size: 11 } },
    ...own,
    xaxis: { ...axis, ...own.xaxis },
    yaxis: { ...axis, ...own.yaxis },
  };
}

const CONFIG = { displayModeBar: false, responsive: true, displaylogo: false };
const drawn = new Map();

// Plotly reads tags and entities in every text; what people and models wrote is shown as they wrote it.
const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const TEXTS = ["name", "text", "hovertext", "x", "y", "labels", "ticktext"];

export function plain(value) {
  if (typeof value === "string") return value.replace(/[&<>]/g, (each) => ENTITIES[each]);
  return Array.isArray(value) ? value.map(plain) : value;
}

function plainTexts(part) {
  const texts = TEXTS.filter((key) => key in part).map((key) => [key, plain(part[key])]);
  return { ...part, ...Object.fromEntries(texts) };
}

function plainLayout(own) {
  const found = { ...own, xaxis: plainTexts(own.xaxis ?? {}), yaxis: plainTexts(own.yaxis ?? {}) };
  if (own.annotations) found.annotations = own.annotations.map(plainTexts);
  return found;
}

// Draws the chart, or redraws it with new data; `says` is what a reader who sees none is told.
export function draw(id, traces, own, says) {
  drawn.set(id, () => draw(id, traces, own, says));
  document.getElementById(`${id}-says`).textContent = says;
  const place = document.getElementById(id);
  place.hidden = traces.length === 0;
  if (traces.length === 0) {
    Plotly.purge(place);
    return undefined;
  }
  return Plotly.react(place, traces.map(plainTexts), layout(plainLayout(own)), CONFIG);
}

// Policy versions as marks on the time axis.
export function marks(policies, from, to) {
  const shown = policies.filter((each) => each.since_ms >= from && each.since_ms <= to);
  return {
    shapes: shown.map((each) => ({
      type: "line", xref: "x", yref: "paper", x0: new Date(each.since_ms), x1: new Date(each.since_ms),
      y0: 0, y1: 1, line: { color: soft(), width: 1, dash: "dot" },
    })),
    annotations: shown.map((each) => ({
      x: new Date(each.since_ms), y: 1, xref: "x", yref: "paper", text: `v${each.number}`, showarrow: false,
      xanchor: "left", yanchor: "top", font: { size: 10, color: soft() },
      hovertext: `${each.policy}${each.why ? `: ${each.why}` : ""}`,
    })),
  };
}

async function take(id, format) {
  const place = document.getElementById(id);
  const shown = place.getBoundingClientRect();
  // what is transparent on the page stands on its own ground elsewhere
  const ground = getComputedStyle(document.body).backgroundColor;
  const figure = { data: place.data, layout: { ...place.layout, paper_bgcolor: ground } };
  const url = await Plotly.toImage(figure, {
    format, width: Math.round(shown.width), height: Math.round(shown.height), scale: format === "png" ? 2 : 1,
  });
  save(`${id}.${format}`, url);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-take=png], [data-take=svg]");
  if (button && document.getElementById(button.dataset.of).data) take(button.dataset.of, button.dataset.take);
});
document.addEventListener("theme", () => {
  for (const again of drawn.values()) again();
});
