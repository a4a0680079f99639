// Review by keyboard: one card at a time is the one that keys are for.

const cards = [...document.querySelectorAll("[data-creative]")];
let at = 0;

function go(to) {
  if (to < 0 || to >= cards.length) return;
  cards[at].classList.remove("at");
  at = to;
  cards[at].classList.add("at");
  cards[at].focus({ preventScroll: true });
  cards[at].scrollIntoView({ block: "nearest" });
}

const part = (selector) => cards[at].querySelector(selector);
const acts = {
  j: () => go(at + 1),
  k: () => go(at - 1),
  a: () => part(".approve button").click(),
  e: () => part("textarea").focus(),
  r: () => part("[name=reason]").focus(),
};

function onKey(event) {
  const field = event.target.closest("textarea, input, select");
  if (event.key === "Escape") return go(at);
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.closest(".approve")) {
    event.preventDefault();
    return acts.a();
  }
  if (field || event.ctrlKey || event.metaKey || event.altKey || !acts[event.key]) return undefined;
  event.preventDefault();
  return acts[event.key]();
}

// What the button does once the text is another.
function onEdit(event) {
  const form = event.target.closest(".approve");
  if (!form) return;
  const changed = [...form.querySelectorAll("textarea")].some((each) => each.value !== each.defaultValue);
  form.querySelector("button").textContent = changed ? "Approve as edited" : "Approve";
}

for (const [number, card] of cards.entries()) {
  card.addEventListener("focusin", () => {
    cards[at].classList.remove("at");
    at = number;
    card.classList.add("at");
  });
}
document.querySelector("[data-submit]")?.addEventListener("change", (event) => event.target.form.submit());
document.addEventListener("input", onEdit);
if (cards.length) {
  document.addEventListener("keydown", onKey);
  const wanted = new URLSearchParams(location.search).get("at");
  go(Math.max(cards.findIndex((card) => card.dataset.creative === wanted), 0));
}
