// Figures as they change: one stream a page, which the browser opens again by itself.

function tell(state, words) {
  const sign = document.getElementById("live");
  if (!sign || sign.dataset.state === state) return;
  sign.dataset.state = state;
  sign.textContent = words;
}

// Calls `changed` with each placement's news; `placements` empty is all of them. `creative` may
// name one creative or several of whom alone points are to tell.
export function follow(placements, changed, { creative = [] } = {}) {
  const query = new URLSearchParams([
    ...placements.map((name) => ["placement", name]),
    ...[creative].flat().map((name) => ["creative", name]),
  ]);
  const source = new EventSource(`/ui/live?${query}`);
  source.addEventListener("figures", (event) => {
    tell("on", "live");
    changed(JSON.parse(event.data));
  });
  source.addEventListener("open", () => tell("on", "live"));
  source.addEventListener("down", () => tell("off", "the API gives no answer"));
  source.addEventListener("error", () => tell("off", "reconnecting"));
  addEventListener("pagehide", () => source.close());
  return source;
}
