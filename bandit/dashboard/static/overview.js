// The overview's rows, kept up to date.

import { amount, band, count, put } from "./format.js";
import { follow } from "./live.js";

const rows = new Map(
  [...document.querySelectorAll("[data-placement]")].map((row) => [row.dataset.placement, row]),
);

function show(news) {
  const row = rows.get(news.placement);
  if (!row) return;
  const share = row.dataset.share === "1";
  row.querySelector("[data-is=shown]").textContent = count(news.total.shown);
  put(row.querySelector("[data-is=rate]"), amount(news.total.rate, share), band(news.total, share));
}

if (rows.size) follow([], show);
