// Pages whose news come from plain answers of the API: looked at every few seconds, and shown
// without reload unless somebody is at a form.

import { localTimes } from "./page.js";

const LOOK_MS = 3000;
const watching = () => document.querySelector("main [data-watch]");
const sources = (watching()?.dataset.watch ?? "").split(" ").filter(Boolean);

async function told(source) {
  const answer = await fetch(`/ui/data/${source}`);
  return answer.ok ? answer.text() : null;
}

function isBusy() {
  const main = document.getElementById("main");
  const field = document.activeElement?.closest("#main input, #main select, #main textarea, #main button, #main summary");
  const typed = [...main.querySelectorAll("input, textarea")].some((each) => each.type !== "hidden" && each.value !== each.defaultValue);
  return field || typed;
}

function opened(root) {
  return [...root.querySelectorAll("details[id][open]")].map((each) => each.id);
}

async function renew() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok || isBusy()) return false;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const main = document.getElementById("main");
  const open = opened(main);
  const notice = main.querySelector(".told");
  main.replaceChildren(...fresh.getElementById("main").childNodes);
  if (notice) main.prepend(notice);
  localTimes(main);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  document.dispatchEvent(new Event("renewed"));
  return true;
}

let known = null;
async function look() {
  if (document.hidden || !watching()) return;
  try {
    const now = (await Promise.all(sources.map(told))).join("\n");
    // At the first look nobody knows what came after the page was made, so that all is news.
    const isNews = watching()?.dataset.pending || now !== known;
    if (isNews && !(await renew())) return;
    known = now;
  } catch {
    // The API or this server is away: the next look may find it.
  }
}

if (sources.length) {
  look();
  setInterval(look, LOOK_MS);
}
