// Which creative wins for whom: by field and value of the context.

import { amount, band, count, element, put } from "./format.js";

const LEAST_SHOWN = 10;

function best(of) {
  const known = Object.entries(of).filter(([, counts]) => counts.rate !== null && counts.shown >= LEAST_SHOWN);
  if (!known.length) return null;
  const [name, counts] = known.reduce((a, b) => (b[1].rate > a[1].rate ? b : a));
  const sure = known.length > 1 && counts.low !== null &&
    known.every(([other, each]) => other === name || (each.high !== null && each.high < counts.low));
  return { name, counts, sure };
}

export function showSegments(segments, texts, share) {
  const rows = [];
  for (const [field, values] of Object.entries(segments)) {
    for (const [value, of] of Object.entries(values)) {
      const shown = Object.values(of).reduce((sum, counts) => sum + counts.shown, 0);
      rows.push({ field, value, shown, winner: best(of) });
    }
  }
  rows.sort((a, b) => a.field.localeCompare(b.field) || b.shown - a.shown);
  const made = rows.map(({ field, value, shown, winner }) => {
    const row = element("tr");
    const name = element("th", "", `${field}: ${value}`);
    name.scope = "row";
    const rate = element("td", "n");
    put(rate, winner ? amount(winner.counts.rate, share) : "–", winner ? band(winner.counts, share) : "");
    row.append(name, element("td", "", winner ? texts.get(winner.name) ?? winner.name : "too little to tell"),
      rate, element("td", "n", count(shown)), element("td", winner?.sure ? "good" : "soft", winner?.sure ? "sure" : "not yet"));
    return row;
  });
  document.querySelector("#segments tbody").replaceChildren(...made);
  document.getElementById("segments-says").textContent = rows.length
    ? ""
    : "Contexts say nothing that creatives could be told apart by. Send what you know in the context of a rank: {\"device\": \"mobile\"}.";
}
