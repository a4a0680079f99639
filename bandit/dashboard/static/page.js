// What every page does: the switch between dark and light, times as the reader's clock has them,
// questions before acts that cannot be undone, and tables that can be taken away.

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function onTheme() {
  document.getElementById("theme").addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("copyloop-theme", theme);
    document.dispatchEvent(new Event("theme"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    document.dispatchEvent(new Event("theme")),
  );
}

export function localTimes(root = document) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
      time.title = time.dateTime;
    }
  }
}

export function save(name, url) {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
}

// A cell that a spreadsheet would take for a formula is led by a quote.
function cell(text) {
  const safe = /^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text;
  return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function csv(table) {
  const rows = [...table.querySelectorAll("tr")].filter((row) => !row.hidden);
  const cells = (row) => [...row.cells].filter((each) => !each.hasAttribute("data-act"));
  const text = (each) => each.dataset.value ?? each.innerText.trim().replaceAll(/\s+/g, " ");
  return rows.map((row) => cells(row).map((each) => cell(text(each))).join(",")).join("\r\n") + "\r\n";
}

function onTakeTable() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-take=csv]");
    if (!button) return;
    const table = document.getElementById(button.dataset.of);
    const url = URL.createObjectURL(new Blob([csv(table)], { type: "text/csv" }));
    save(`${button.dataset.of}.csv`, url);
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  });
}

function onAsk() {
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.ask;
    if (question && !confirm(question)) event.preventDefault();
  });
}

onTheme();
onTakeTable();
onAsk();
localTimes();
