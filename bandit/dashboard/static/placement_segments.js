// Which creative wins for whom: by field and value of the context.

import { amount, band, count, element, put } from "./format.js";

export function showSegments(segments, winners, texts, share) {
  const rows = [];
  for (const [field, values] of Object.entries(segments)) {
    for (const [value, of] of Object.entries(values)) {
      const shown = Object.values(of).reduce((sum, counts) => sum + counts.shown, 0);
      const best = winners[field]?.[value];
      const winner = best && { name: best.creative, counts: of[best.creative], sure: best.sure };
      rows.push({ field, value, shown, winner });
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
