/* The sheet: a dialog for a reason, an end date or help. It opens below the row that it is about. */

import { getSheet } from "./calls.js";
import { find } from "./dom.js";
import { showReason, typeText, watchReasons } from "./reasons.js";
import { currentRow, keyOf, rowById, rowOf } from "./rows.js";

const GAP = 8; // pixels around the row and the sheet
const LEAST = 240; // pixels of the sheet that are always visible
const narrow = matchMedia("(max-width: 40rem)");

export const dialog = find("#sheet");
const body = find("#sheet-body");
const MOST_KEYS = 40; // that are kept while a sheet is on its way
let aboutKey = null; // the row that the sheet is about
let earlyKeys = null; // pressed while a sheet is on its way; null while none is

export function openSheet(url, opener = null) {
  if (!dialog.contains(opener)) {
    const about = opener ? rowOf(opener) : currentRow();
    aboutKey = about && keyOf(about);
  }
  earlyKeys = [];
  // htmx would scroll to a fragment
  getSheet(url.split("#")[0]).finally(() => {
    const keys = earlyKeys ?? [];
    earlyKeys = null;
    if (dialog.open) for (const key of keys) pressEarlyKey(key); // without a sheet they would decide rows
  });
}

/* Keep a key that is meant for a sheet on its way, so that Enter does not open the row instead. */
export function keepEarlyKey(key) {
  if (!earlyKeys) return false;
  if (earlyKeys.length < MOST_KEYS) earlyKeys.push(key);
  return true;
}

const isPick = (key, form, field) =>
  document.activeElement !== field && Boolean(find(`[data-key="${CSS.escape(key)}"]`, form));

/* Do what the key would have done now: on the sheet, or on the rows if the keys before it closed the sheet. */
function pressEarlyKey(key) {
  if (keepEarlyKey(key)) return;
  const form = dialog.open && find("[data-sheet-form]", dialog);
  const field = form && find("#reason", form);
  if (form && key === "Escape") closeSheet();
  else if (form && key === "Enter") form.requestSubmit(find("[data-enter]", form));
  else if (field && key.length === 1 && !isPick(key, form, field)) typeText(field, key);
  else document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
}

export function hideSheet() {
  dialog.close();
  body.replaceChildren();
  document.body.style.removeProperty("margin-block-end");
}

export function closeSheet() {
  hideSheet();
  const row = currentRow();
  if (row) find(".who", row).focus({ preventScroll: true });
}

/* The lower edge of what sticks to the top of the window: the tray and the head of the table. */
function stickyEdge() {
  const tray = find("#tray .tray")?.getBoundingClientRect();
  const head = find(".q thead th")?.getBoundingClientRect();
  return Math.max(0, tray ? tray.height : 0) + (head && !narrow.matches ? head.height : 0);
}

/* Place the sheet below its row and scroll so that both can be read. On a phone it is at the bottom of the window. */
function placeSheet() {
  const row = (aboutKey && rowById(aboutKey)) || (narrow.matches && find(".answers .is-purpose"));
  const isForm = Boolean(find("[data-sheet-form], .leaves", body));
  dialog.classList.toggle("is-low", isForm && (!row || narrow.matches));
  dialog.classList.toggle("is-below", Boolean(isForm && row && !narrow.matches));
  dialog.removeAttribute("style");
  if (!isForm || !row) return;
  const top = stickyEdge() + GAP;
  const { left, width, height: rowHeight } = row.getBoundingClientRect();
  if (!narrow.matches) {
    dialog.style.setProperty("inset-inline-start", `${left + scrollX}px`);
    dialog.style.setProperty("inline-size", `${width}px`);
  }
  const most = Math.max(LEAST, innerHeight - top - rowHeight - GAP);
  dialog.style.setProperty("max-block-size", `${most}px`);
  const lowest = innerHeight - dialog.getBoundingClientRect().height - rowHeight - GAP;
  scrollRowTo(row, Math.max(top, Math.min(row.getBoundingClientRect().top, lowest)));
  if (!narrow.matches) {
    dialog.style.setProperty("inset-block-start", `${row.getBoundingClientRect().bottom + scrollY}px`);
  }
}

/* Scroll until the row is so far below the edge of the window; the page grows at its end if it is too short. */
function scrollRowTo(row, wanted) {
  document.body.style.removeProperty("margin-block-end");
  const missing = row.getBoundingClientRect().top - wanted;
  const rest = document.documentElement.scrollHeight - innerHeight - scrollY;
  if (missing > rest) document.body.style.setProperty("margin-block-end", `${Math.ceil(missing - rest) + 1}px`);
  scrollBy(0, row.getBoundingClientRect().top - wanted);
}

function showSheet() {
  if (!body.firstElementChild) return;
  if (!dialog.open) dialog.showModal();
  const reason = find("#reason", dialog);
  if (reason) showReason(reason.form);
  placeSheet();
  const chosen = find("[data-text]:checked", dialog);
  (chosen || reason || find("[data-enter]", dialog) || find("h1", dialog) || dialog).focus({ preventScroll: true });
}

/* Return why the values of a sheet cannot be sent, or "". */
export function problemWith(values) {
  if (!("reason" in values) || values.silent === "yes") return "";
  if (!values.reason.trim()) return "Write a reason, choose a text, or press Send no reason.";
  return values.reason.length > (find("#reason")?.maxLength ?? Infinity) ? "The reason is too long." : "";
}

export function watchSheet() {
  watchReasons();
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "sheet-body") showSheet();
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target.id === "sheet-body" && dialog.open) placeSheet(); // its keys are shown now
  });
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    closeSheet();
  });
  addEventListener("resize", () => dialog.open && placeSheet());
  document.addEventListener("input", (event) => {
    const field = event.target;
    const choice = field.dataset.chooses; // a date from the calendar, not a duration
    if (choice) for (const radio of field.form.querySelectorAll(`[name=until][value=${choice}]`)) radio.checked = true;
  });
}
