// A placement's page: figures once, then as they change.

import { amount, band, count, put, putLift } from "./format.js";
import { showTimes, showDelays, showFatigue } from "./placement_charts.js";
import { showCreatives } from "./placement_creatives.js";
import { showSegments } from "./placement_segments.js";
import { follow } from "./live.js";

const MINUTE_MS = 60_000;
const TOP = 12;
const WHOLE_EVERY_MS = 15_000;
// A chart with a day's minutes takes a while to draw: not more than a tenth of the time.
const RANGES = {
  hour: { lengthMs: 60 * MINUTE_MS, resolution: "minute", redrawMs: 1000 },
  day: { lengthMs: 24 * 60 * MINUTE_MS, resolution: "minute", redrawMs: 5000 },
  month: { lengthMs: 30 * 24 * 60 * MINUTE_MS, resolution: "hour", redrawMs: 5000 },
};

const place = document.getElementById("placement").dataset;
const share = place.share === "1";
const range = RANGES[place.range];
const texts = new Map(
  [...document.querySelectorAll("[data-creative]")].map((row) => [row.dataset.creative, row.querySelector("a").textContent]),
);
const points = new Map();
let whole = null;
let named = "";
let stream = null;
let due = 0;

const sinceMs = () => Date.now() - range.lengthMs;

function showTotal(total) {
  put(document.getElementById("total-shown"), count(total.shown));
  put(document.getElementById("total-rate"), amount(total.rate, share), band(total, share));
}

function showLift(over, lifts, none) {
  putLift(document.getElementById(`lift-${over}`), lifts.find((lift) => lift.over === over), share, none);
}

function showDrift(drift) {
  const cell = document.getElementById("drift");
  cell.classList.toggle("warn", Boolean(drift?.drifts));
  if (!drift) put(cell, "–", "too little to tell");
  else put(cell, drift.drifts ? "yes" : "none seen", drift.drifts ? "the table says of which creative" : "");
}

function redraw() {
  due = 0;
  if (!window.Plotly || document.hidden) return;
  const since = sinceMs();
  for (const start of points.keys()) if (start < since - MINUTE_MS) points.delete(start);
  const sorted = [...points.values()].sort((a, b) => a.start_ms - b.start_ms);
  showTimes(sorted, whole.policies, { share, texts, since, bucketMs: 1000 * whole.bucket_seconds });
  const last = sorted.at(-1);
  put(document.getElementById("exploration-now"), last ? amount(last.explored, true) : "–", last ? "of late" : "");
}

function redrawSoon() {
  if (!due) due = setTimeout(redraw, range.redrawMs);
}

function onNews(news) {
  showTotal(news.total);
  showCreatives({ shares: news.shares }, share);
  if (range.resolution === "minute") for (const point of news.points) points.set(point.start_ms, point);
  if (whole && texts.size) redrawSoon();
}

// Points tell of the likeliest creatives alone; when those change, so does what is streamed.
function followLikeliest() {
  const told = new Set([...points.values()].flatMap((point) => Object.keys(point.creatives)));
  const likeliest = (told.size ? [...told] : [...texts.keys()].slice(0, TOP)).sort();
  if (stream && likeliest.join("\n") === named) return;
  named = likeliest.join("\n");
  stream?.close();
  stream = follow([place.name], onNews, { creative: likeliest.length ? likeliest : ["-"] });
}

async function refresh() {
  const query = new URLSearchParams({ resolution: range.resolution, since_ms: sinceMs(), top: TOP });
  const address = `/ui/data/placements/${encodeURIComponent(place.name)}/figures?${query}`;
  const answer = await fetch(address).catch(() => null);
  if (answer?.ok) {
    whole = await answer.json();
    points.clear();
    for (const point of whole.points) points.set(point.start_ms, point);
    showTotal(whole.total);
    showLift("uniform", whole.lifts, "all rewards are alike");
    showLift("baseline", whole.lifts, "no baseline is named");
    showDrift(whole.drift);
    if (texts.size) {
      showCreatives({ creatives: whole.creatives, shares: whole.points.at(-1)?.creatives }, share);
      showSegments(whole.segments, whole.winners, texts, share);
      redraw();
      showDelays(whole.delays);
      showFatigue(whole.fatigue, share);
    }
    followLikeliest();
  } else if (!stream) {
    followLikeliest();
  }
  setTimeout(refresh, WHOLE_EVERY_MS);
}

refresh();
