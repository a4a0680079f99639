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
  if (of.low === null) return "";
  return `${amount(of.low, share)} to ${amount(of.high, share)}`;
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

export function signed(value, share) {
  return `${value > 0 ? "+" : ""}${amount(value, share)}`;
}

// A difference of rewards: of shares in percentage points, so that it is no lift.
export function difference(value, share) {
  return share ? `${value > 0 ? "+" : ""}${(100 * value).toFixed(2)} points` : signed(value, false);
}

// A lift: by what share of the other's reward more.
export function relative(value) {
  return `${value > 0 ? "+" : ""}${(100 * value).toFixed(1)} %`;
}

// A lift in a cell, with its interval; of rewards where there is no relative one.
export function putLift(cell, lift, share, none) {
  cell.classList.toggle("good", Boolean(lift && lift.low !== null && lift.low > 0));
  cell.classList.toggle("bad", Boolean(lift && lift.high !== null && lift.high < 0));
  if (!lift) return put(cell, NOTHING, none);
  if (lift.difference === null) {
    return put(cell, NOTHING, lift.n === 0 ? "no window has closed yet" : "too little to tell");
  }
  const apart = lift.low === null ? "no interval" :
    `${difference(lift.low, share)} to ${difference(lift.high, share)} a decision`;
  if (lift.lift === null) return put(cell, difference(lift.difference, share), apart);
  const ends = [lift.lift_low, lift.lift_high];
  const within = ends[0] === null ? "" :
    ends[1] === null ? `at least ${relative(ends[0])}; ` : `${ends.map(relative).join(" to ")}; `;
  return put(cell, relative(lift.lift), within + apart);
}

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
