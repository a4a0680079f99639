// The overview's rows, kept up to date: totals as they change, lifts every few seconds.

import { amount, band, count, put, putLift } from "./format.js";
import { follow } from "./live.js";

const LIFT_EVERY_MS = 20_000;
const rows = new Map(
  [...document.querySelectorAll("[data-placement]")].map((row) => [row.dataset.placement, row]),
);
const share = (row) => row.dataset.share === "1";
const at = (row, name) => row.querySelector(`[data-is=${name}]`);

function showTotal(row, of) {
  const total = of.total;
  at(row, "shown").textContent = count(total.shown);
  put(at(row, "rate"), amount(total.rate, share(row)), band(total, share(row)));
}

function health(each, complete) {
  if (!complete) return ["warn", "reading the log"];
  if (each.live === 0) return ["bad", "no live creative"];
  if (each.total.shown === 0) return ["soft", "waits for traffic"];
  return ["good", "well"];
}

async function refresh() {
  const answer = await fetch("/ui/data/overview").catch(() => null);
  if (answer?.ok) {
    const overview = await answer.json();
    for (const each of overview.items) {
      const row = rows.get(each.placement);
      if (!row) continue;
      showTotal(row, each);
      for (const over of ["uniform", "baseline"]) {
        putLift(at(row, over), each.lifts.find((lift) => lift.over === over), share(row), "");
      }
      at(row, "live").textContent = count(each.live);
      const [kind, words] = health(each, overview.complete);
      const sign = at(row, "health");
      sign.className = kind;
      sign.textContent = words;
    }
  }
  // not by an interval: a slow answer is not asked for twice
  setTimeout(refresh, LIFT_EVERY_MS);
}

if (rows.size) {
  follow([], (news) => {
    const row = rows.get(news.placement);
    if (row) showTotal(row, news);
  }, { creative: "-" });
  refresh();
}
