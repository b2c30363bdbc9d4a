/* Starts the scripts of the desk. Without them every page works by links and forms. */

import { announce, watchAnnouncements } from "./announcements.js";
import { find, pageName } from "./dom.js";
import { watchUndo } from "./decisions.js";
import { watchForms } from "./forms.js";
import { areKeysOn, showKeySwitch, watchKeys } from "./keyboard.js";
import { allRows, currentRow, focusRow, followPointerAndFocus, markCurrent, rowOf } from "./rows.js";
import { isReachedFromBelow, watchPages } from "./paging.js";
import { watchPreview } from "./preview.js";
import { setRoles, setTabStops, watchTooltips } from "./rows.js";
import { watchKeptRows, watchTicks } from "./selection.js";
import { watchSheet } from "./sheet.js";
import { watchTray } from "./tray.js";

function watchAnswers() {
  document.addEventListener("htmx:sendError", () => announce("The desk does not answer. Nothing was decided."));
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status === 401) location.reload();
  });
  document.addEventListener("htmx:afterSettle", () => {
    setRoles();
    setTabStops();
    showKeySwitch();
    const row = currentRow();
    if (row) markCurrent(row);
  });
}

function focusFirstRow() {
  const linked = rowOf(location.hash && document.getElementById(location.hash.slice(1)));
  const first = isReachedFromBelow() ? allRows().at(-1) : allRows()[0];
  focusRow(linked || first, { scroll: Boolean(linked) || isReachedFromBelow() });
}

watchAnnouncements();
watchAnswers();
followPointerAndFocus();
watchForms();
watchSheet();
watchTicks();
watchKeptRows();
watchUndo();
watchPreview();
watchPages();
watchKeys();
watchTray();
watchTooltips();
setRoles();
setTabStops();
showKeySwitch();
if (pageName === "queue" && areKeysOn()) focusFirstRow();
