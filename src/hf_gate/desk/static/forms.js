/* Forms and links that are answered in place on the queue page. Without this script they work as plain forms and links. */

import { announce } from "./announcements.js";
import { postDecision } from "./calls.js";
import { find, pageName } from "./dom.js";
import { decide, noteTrayCall, sendDecision, showLeaving } from "./decisions.js";
import { focusRow, isDecided, nextUndecidedRow, rowById, rowOf } from "./rows.js";
import { selectAll } from "./selection.js";
import { closeSheet, dialog, hideSheet, openSheet, problemWith } from "./sheet.js";

function submitTrayForm(form, button) {
  const url = button?.getAttribute("formaction") || form.getAttribute("action");
  const row = rowOf(button);
  noteTrayCall(url, row);
  postDecision(url, button?.name ? { [button.name]: button.value } : {});
  if (row) focusRow(row);
}

function submitSheet(form, button) {
  const values = Object.fromEntries(new FormData(form, button));
  const problem = problemWith(values);
  if (problem) {
    announce(problem);
    const field = find("#reason", form);
    field.setAttribute("aria-invalid", "true");
    field.focus();
    return;
  }
  hideSheet();
  const row = rowById(values.key);
  const next = row && nextUndecidedRow(row);
  if (row) showLeaving(row, values.verb);
  postDecision("/tray", values);
  focusRow(next || row);
}

/* Accept in the preview: the version of the request is the one that the preview shows. */
function submitPreview(form, button) {
  const row = rowOf(form);
  if (row && !isDecided(row)) sendDecision(row, "accept", Object.fromEntries(new FormData(form, button)));
}

function handlerFor(form, button) {
  if (form.matches("#preview .verbs")) return () => submitPreview(form, button);
  if (form.id === "decide" && button && rowOf(button)) return () => decide(rowOf(button), button.dataset.do);
  if (form.matches("[data-tray]") && pageName === "queue") return () => submitTrayForm(form, button);
  if (form.id === "bulk" && button?.dataset.select) return () => selectAll(button.dataset.select);
  const isSheet = form.matches("[data-sheet-form]") && dialog.contains(form) && pageName === "queue";
  return isSheet ? () => submitSheet(form, button) : null;
}

export function watchForms() {
  document.addEventListener("submit", (event) => {
    const handle = handlerFor(event.target, event.submitter);
    if (!handle) return;
    event.preventDefault();
    handle();
  });
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const opener = event.target.closest("[data-sheet-url], a[data-sheet], a[data-do]");
    if (opener) {
      event.preventDefault();
      openSheet(opener.dataset.sheetUrl || opener.href, opener);
    } else if (event.target.closest("[data-close]") && dialog.open) {
      event.preventDefault();
      closeSheet();
    }
  });
}
