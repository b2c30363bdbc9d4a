/* Decides rows, undoes decisions, and shows the reasons of verdicts. */

import { announce } from "./announcements.js";
import { enqueueSelection, postDecision } from "./calls.js";
import { find } from "./dom.js";
import { currentRow, currentRowKey, focusRow, isDecided } from "./rows.js";
import { keyOf, nextUndecidedRow, rowById } from "./rows.js";
import { toggleRules } from "./preview.js";
import { setTicks, tickOf } from "./selection.js";
import { openSheet } from "./sheet.js";

const PROGRESS = { accept: "accepting", reset: "sending back", reject: "rejecting", cancel: "returning to pending" };
const decidedKeys = []; // decided on this page, the last one at the end
let undoneFrom = null; // the row that had the focus when undo was pressed

export function decide(row, verb) {
  if (!row || isDecided(row)) return;
  const control = find(`[data-do="${verb}"]`, row);
  if (!control) {
    refuse(row, verb);
    return;
  }
  const sheet = control.dataset.sheetUrl || control.href;
  if (sheet) {
    openSheet(sheet, control);
    return;
  }
  sendDecision(row, verb, { [verb]: control.value });
}

export function sendDecision(row, verb, values) {
  const next = nextUndecidedRow(row);
  showLeaving(row, verb);
  postDecision("/tray", values);
  if (next) focusRow(next);
}

/* A key acts on the selection if the current row is ticked, else on the current row only. */
export function decideByKey(verb) {
  const row = currentRow();
  const box = tickOf(row);
  if (!box || !box.checked || box.disabled) {
    decide(row, verb);
    return;
  }
  enqueueSelection(() => {
    // the desk has stored every tick by now
    if (Number(find("#bulk").dataset.count) > 1) confirmSelection(verb);
    else decide(row, verb);
  });
}

/* Open the page that confirms a decision about the selection, at a place of that page. */
function confirmSelection(verb, place = "") {
  const button = find(`#bulk [name=verb][value=${verb}]`);
  if (!button) {
    announce("That cannot be decided here.");
    return;
  }
  button.formAction = `/bulk${place}`; // a redirect keeps the place
  button.form.requestSubmit(button);
}

/* Ask when the access ends: of the selection if the current row is ticked, else of the current row only. */
export function openEndSheet(row) {
  const box = tickOf(row);
  const openSheetOfRow = () => {
    const canAccept = row && !isDecided(row) && find('[data-do="accept"]', row);
    if (canAccept) openSheet(`/requests/${keyOf(row)}/until`, row);
    else refuse(row, "accept");
  };
  if (!box?.checked || box.disabled) {
    openSheetOfRow();
    return;
  }
  enqueueSelection(() => {
    if (Number(find("#bulk").dataset.count) > 1) confirmSelection("accept", "#ends");
    else openSheetOfRow();
  });
}

function refuse(row, verb) {
  const refusal = verb === "accept" && row && find("[data-refusal]", row);
  announce(refusal ? refusal.dataset.refusal : "That cannot be decided here.");
}

/* Show at once that the row is decided. If the desk refuses, its answer replaces the row. */
export function showLeaving(row, verb) {
  row.classList.add("is-leaving");
  decidedKeys.push(keyOf(row));
  const label = document.createElement("span");
  label.className = `v v-${verb}`;
  label.textContent = verb === "accept" && find("[data-label]", row) ? "approving" : PROGRESS[verb];
  find(".c-say", row).replaceChildren(label);
  find(".c-act", row).replaceChildren();
  const box = tickOf(row);
  const bar = find("#bulk");
  const count = bar ? Number(bar.dataset.count) : 0;
  if (box?.checked) setTicks([box], false);
  else if (count) find("b", bar).textContent = `${count} ${count === 1 ? "other stays" : "others stay"} selected`;
}

/* Move the focus to the undone row: at once if it was decided on this page, else when the desk names it. */
export function undoLast() {
  const key = decidedKeys.pop();
  const row = key && rowById(key);
  undoneFrom = row ? null : currentRowKey();
  if (row) focusRow(row);
  postDecision("/tray/undo", { which: "last" });
}

export function noteTrayCall(url, row) {
  undoneFrom = url === "/tray/undo" && !row ? currentRowKey() : null;
}

export function watchUndo() {
  document.addEventListener("desk-undone", (event) => {
    if (undoneFrom !== null && undoneFrom === currentRowKey()) {
      focusRow(rowById(event.detail.value));
    }
    undoneFrom = null;
  });
}

/* Show or hide all rules in the preview of the row, or else the reasons of the verdict below it. */
export function toggleWhy(row) {
  if (!row || toggleRules(row)) return;
  const below = row.nextElementSibling;
  if (below?.matches(".why-row")) {
    below.remove();
    return;
  }
  const line = document.createElement("tr");
  const cell = document.createElement("td");
  line.className = "why-row";
  cell.colSpan = row.children.length;
  line.append(cell);
  row.after(line);
  htmx.ajax("GET", `/requests/${keyOf(row)}/why`, { source: cell, target: cell, swap: "innerHTML" });
}
