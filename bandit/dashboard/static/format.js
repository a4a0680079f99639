// Numbers as the templates write them.

export const NOTHING = "–";

export function amount(value, share) {
  if (value === null || value === undefined) return NOTHING;
  return share ? `${(100 * value).toFixed(2)} %` : Number(value.toPrecision(4)).toString();
}

export function count(value) {
  return value === null || value === undefined ? NOTHING : Math.round(value).toLocaleString("en-US");
}

export function band(of, share) {
  return of.low === null ? "" : `${amount(of.low, share)} to ${amount(of.high, share)}`;
}

// Replaces an element's content by a figure and, smaller, its band.
export function put(element, text, small) {
  element.replaceChildren(text);
  if (small) {
    const part = document.createElement("span");
    part.className = "band";
    part.textContent = small;
    element.append(part);
  }
}
