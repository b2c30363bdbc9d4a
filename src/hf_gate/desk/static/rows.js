/* The rows of a list, and the current row, which has the focus. */

import { find, findAll } from "./dom.js";
import { turnPage } from "./paging.js";

let currentKey = null;

export const allRows = () => findAll("#rows > .row");
export const keyOf = (row) => row.dataset.requestId;
/* The row that a node is in, also in the preview of a row. */
export function rowOf(node) {
  const previewed = node?.closest?.("#preview")?.querySelector("[data-preview-of]");
  return previewed ? rowById(previewed.dataset.previewOf) : (node?.closest?.("#rows > .row") ?? null);
}
export const rowById = (key) => find(`#rows > [data-request-id="${CSS.escape(key)}"]`);
export const currentRowKey = () => currentKey;
export const currentRow = () => (currentKey && rowById(currentKey)) || null;
export const isDecided = (row) => row.matches(".is-leaving, .is-gone");

function showPosition(row) {
  const position = find("#place");
  if (!position) return;
  const list = allRows();
  position.textContent = `row ${list.indexOf(row) + 1} of ${list.length}`;
  showAcceptance(row);
  document.dispatchEvent(new CustomEvent("desk-row"));
}

/* Say beside the key what it does for the current row: accept, approve or nothing, and until when. */
function showAcceptance(row) {
  const key = find("#accept-key");
  if (!key) return;
  const accept = find('[data-do="accept"]', row);
  const refusal = find("[data-refusal]", row);
  const mustChoose = accept?.tagName === "A"; // it leads to the choice of an end
  find(".v", key).textContent = (accept ?? refusal)?.dataset.keyLabel ?? "accept";
  find("#accept-end").textContent = accept?.dataset.end ? `until ${accept.dataset.end}` : mustChoose ? "…" : "";
  find("kbd", key).hidden = Boolean(refusal);
}

export function markCurrent(row) {
  row.classList.add("is-focus");
  row.setAttribute("aria-current", "true");
}

function moveMarkTo(row) {
  for (const other of findAll(".is-focus")) {
    if (other === row) continue;
    other.classList.remove("is-focus");
    other.removeAttribute("aria-current");
  }
  markCurrent(row);
  currentKey = keyOf(row);
}

export function focusRow(row, { scroll = true } = {}) {
  if (!row) return;
  const before = row.getBoundingClientRect().top;
  moveMarkTo(row);
  const link = find(".who", row);
  if (document.activeElement !== link) link.focus({ preventScroll: true });
  const moved = row.getBoundingClientRect().top - before;
  if (moved) window.scrollBy(0, moved); // a row above was collapsed: keep this row in place
  if (scroll) row.scrollIntoView({ block: "nearest" });
  showPosition(row);
}

export function focusRelative(offset) {
  const list = allRows();
  if (!list.length) return;
  const index = list.indexOf(currentRow());
  const next = index < 0 ? (offset > 0 ? 0 : list.length - 1) : index + offset;
  if (list[next]) focusRow(list[next]);
  else turnPage(offset);
}

export function nextUndecidedRow(row) {
  const list = allRows();
  return list.slice(list.indexOf(row) + 1).find((one) => !isDecided(one)) || null;
}

/* Update the current row when the focus moves without the keys of the desk. */
function followFocus(target) {
  const row = rowOf(target);
  if (!row || keyOf(row) === currentKey) return;
  const before = row.getBoundingClientRect().top;
  moveMarkTo(row);
  window.scrollBy(0, row.getBoundingClientRect().top - before);
  showPosition(row);
}

/* One tab stop per row, the person's link. The arrow keys move along the row's other controls. */
export function setTabStops() {
  const controls = "#rows .c-act > :is(a, button), #rows .c-pick input, #rows .c-say a";
  for (const control of findAll(controls)) control.tabIndex = -1;
}

/* On a narrow screen rows are laid out as a grid, so some browsers need their roles. The links that lead to the form of a
   decision act as buttons with scripts: they open a sheet. */
export function setRoles() {
  for (const link of findAll("#rows a[data-do]")) link.role = "button";
  for (const row of findAll("#rows > tr")) {
    row.role = "row";
    for (const cell of row.children) cell.role = cell.localName === "th" ? "rowheader" : "cell";
  }
}

/* The label of a control is its tooltip. */
export function watchTooltips() {
  document.addEventListener("pointerover", (event) => {
    const control = event.target.closest?.("#rows [data-do][aria-label]");
    if (control) control.title = control.getAttribute("aria-label");
  });
}

export function focusAlongRow(offset) {
  const row = currentRow();
  if (!row) return false;
  const stops = findAll(".who, .c-say a, .c-act > :is(a, button)", row);
  const index = stops.indexOf(document.activeElement);
  if (index < 0) return false;
  stops[index + offset]?.focus();
  return true;
}

/* Rows do not collapse while the pointer is down: the control would move away before the click. */
export function followPointerAndFocus() {
  let isPointerDown = false;
  document.addEventListener("pointerdown", () => (isPointerDown = true), true);
  const release = () =>
    setTimeout(() => {
      isPointerDown = false;
      followFocus(document.activeElement);
    });
  document.addEventListener("pointerup", release, true);
  document.addEventListener("pointercancel", release, true);
  document.addEventListener("focusin", (event) => {
    if (!isPointerDown) followFocus(event.target);
  });
}
