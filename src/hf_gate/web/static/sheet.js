/* The sheet: a dialog for a reason, an end date or help. */

import { find } from "./dom.js";
import { currentRow } from "./rows.js";

export const dialog = find("#sheet");
const body = find("#sheet-body");

export function openSheet(url) {
  htmx.ajax("GET", url, { source: "#via-sheet", target: "#sheet-body", swap: "innerHTML" });
}

export function hideSheet() {
  dialog.close();
  body.replaceChildren();
}

export function closeSheet() {
  hideSheet();
  const row = currentRow();
  if (row) find(".who", row).focus({ preventScroll: true });
}

function showSheet() {
  if (!body.firstElementChild) return;
  if (!dialog.open) dialog.showModal();
  const reason = find("#reason", dialog);
  const primary = find("[data-enter]", dialog);
  showLength(reason);
  (reason && !reason.value ? reason : primary || find("h1", dialog) || dialog).focus();
}

/* JavaScript counts UTF-16 units, as the Hub does. */
export function showLength(field) {
  const counter = field && document.getElementById(field.getAttribute("aria-describedby"));
  if (!counter) return;
  find("meter", counter).value = field.value.length;
  find("b", counter).textContent = field.value.length;
  if (field.value.trim()) field.removeAttribute("aria-invalid");
}

/* Return why the values of a sheet cannot be sent, or "". */
export function problemWith(values) {
  if (!("reason" in values)) return "";
  if (!values.reason.trim() && values.silent !== "yes") return "Say why, or tick that no reason is given.";
  return values.reason.length > 200 ? "The reason is too long." : "";
}

export function watchSheet() {
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "sheet-body") showSheet();
  });
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    closeSheet();
  });
  document.addEventListener("input", (event) => {
    const field = event.target;
    if (field.matches("textarea[data-count]")) showLength(field);
    const choice = field.dataset.chooses; // a date from the calendar, not a duration
    if (choice) for (const radio of field.form.querySelectorAll(`[name=until][value=${choice}]`)) radio.checked = true;
  });
}
