/* The current request in full beside the rows, on a wide screen. It is fetched when the focus rests on a row. */

import { find } from "./dom.js";
import { currentRow, keyOf } from "./rows.js";

const REST_MS = 200;
const wide = matchMedia("(min-width: 80rem)");
let timer = 0;
let shown = ""; // the row and what it said when its preview was fetched

const shownOf = (key) => find(`#preview > [data-preview-of="${CSS.escape(key)}"]`);

async function load(pane, row, wanted) {
  await htmx.ajax("GET", `/requests/${keyOf(row)}`, { source: pane, target: pane, swap: "innerHTML" });
  pane.classList.toggle("is-old", wanted !== shown);
  pane.scrollTop = 0;
}

function follow() {
  const pane = find("#preview");
  const row = currentRow();
  const wanted = row && `${keyOf(row)} ${find(".c-say", row)?.textContent.replace(/\s+/g, " ")}`;
  if (!pane || !row || !wide.matches || wanted === shown) return;
  shown = wanted;
  pane.classList.add("is-old");
  clearTimeout(timer);
  htmx.trigger(pane, "htmx:abort");
  timer = setTimeout(() => load(pane, row, wanted), REST_MS);
}

/* Show or hide all rules in the preview. Returns false if it does not show this row, or has no rules. */
export function toggleRules(row) {
  const rules = wide.matches && find("details", shownOf(keyOf(row)) ?? document.createElement("p"));
  if (!rules) return false;
  rules.open = !rules.open;
  rules.scrollIntoView({ block: "nearest" });
  return true;
}

export function watchPreview() {
  document.addEventListener("desk-row", follow);
  document.addEventListener("htmx:afterSettle", follow); // the row may be decided, sent or undone by now
  wide.addEventListener("change", follow);
}
