/* The texts of a reason: a chosen one fills the field, and a written one takes its place. */

import { find, findAll } from "./dom.js";

const FIELD = "textarea[data-count]";

/* JavaScript counts UTF-16 units, as the Hub does. */
function showLength(field) {
  const counter = field && document.getElementById(field.getAttribute("aria-describedby"));
  if (!counter) return;
  find("meter", counter).value = field.value.length;
  find("b", counter).textContent = field.value.length;
  if (field.value.trim()) field.removeAttribute("aria-invalid");
}

/* Put the chosen text into the field of a form that has opened. */
export function showReason(form) {
  const field = find(FIELD, form);
  const chosen = find("input[data-text]:checked", form);
  if (chosen && !field.value) field.value = chosen.value;
  showLength(field);
}

function useText(chip) {
  const field = find(FIELD, chip.form);
  field.value = chip.value;
  showLength(field);
  chip.focus();
}

/* Typing on a chip starts a text of one's own. Its digit picks a chip, and Enter sends the form. */
export function writeOwnText(event) {
  const chip = document.activeElement;
  const isText = event.key === "Process" || (event.key.length === 1 && event.key !== " "); // Process: an input method
  if (!isText || !chip?.matches("input[data-text]")) return false;
  if (find(`input[data-text][data-key="${CSS.escape(event.key)}"]`, chip.form)) return false;
  const field = find(FIELD, chip.form);
  field.value = "";
  field.focus(); // the key is typed into it
  return true;
}

export function typeText(field, text) {
  if (document.activeElement !== field) field.value = "";
  field.focus();
  field.value += text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

export function watchReasons() {
  document.addEventListener("change", (event) => {
    if (event.target.matches("input[data-text]")) useText(event.target);
  });
  document.addEventListener("input", (event) => {
    const field = event.target;
    if (!field.matches(FIELD)) return;
    showLength(field);
    for (const chip of findAll("input[data-text]", field.form ?? document)) chip.checked = chip.value === field.value;
  });
  for (const field of findAll(FIELD)) if (field.form) showReason(field.form);
}
