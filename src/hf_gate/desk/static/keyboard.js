/* Single keys. The page /keys lists them. */

import { hideAnnouncement } from "./announcements.js";
import { find, findAll, pageName } from "./dom.js";
import { decideByKey, openEndSheet, toggleWhy, undoLast } from "./decisions.js";
import { isPageTurning } from "./paging.js";
import { writeOwnText } from "./reasons.js";
import { currentRow, focusAlongRow, focusRelative, focusRow } from "./rows.js";
import { setAllTicks, toggleRow } from "./selection.js";
import { dialog, keepEarlyKey } from "./sheet.js";

const SECOND_KEY_MS = 1500;
const PAGES = {
  q: "/queue",
  p: "/plans",
  r: "/repos",
  u: "/people",
  o: "/policies",
  l: "/audit",
  s: "/settings",
  t: "/tray",
};
const QUEUE_KEYS = {
  j: () => focusRelative(1),
  k: () => focusRelative(-1),
  ArrowDown: () => focusRelative(1),
  ArrowUp: () => focusRelative(-1),
  o: () => currentRow() && find(".who", currentRow()).click(),
  a: () => decideByKey("accept"),
  A: () => openEndSheet(currentRow()),
  s: () => decideByKey("reset"),
  r: () => decideByKey("reject"),
  c: () => decideByKey("cancel"),
  x: () => toggleRow(currentRow()),
  X: () => toggleRow(currentRow(), { isRange: true }),
  e: () => toggleWhy(currentRow()),
  z: undoLast,
};
const SECOND_KEYS = {
  g: (key) => PAGES[key] && (() => (location.href = PAGES[key])),
  "*": (key) => pageName === "queue" && "an".includes(key) && (() => setAllTicks(key === "a")),
};

let isOn = localStorage.getItem("keys") !== "off";
let first = { key: "", at: 0 }; // the first key of two

export const areKeysOn = () => isOn;

export function showKeySwitch() {
  for (const part of findAll("[data-script]")) part.hidden = false;
  for (const button of findAll("[data-keys-switch]")) button.textContent = `Switch single keys ${isOn ? "off" : "on"}`;
}

function isTextField(node) {
  if (!node) return false;
  if (node.matches("textarea, select, [contenteditable]")) return true;
  return node.matches("input") && !["checkbox", "radio", "button"].includes(node.type);
}

function pressInTextField(event, field) {
  if (event.key === "Escape" && !dialog.open) {
    field.blur();
    focusRow(currentRow());
    return;
  }
  const isComposing = event.isComposing || event.keyCode === 229; // Enter ends a word of an input method
  const isSubmit = event.key === "Enter" && !event.shiftKey && !isComposing;
  if (isSubmit && field.matches("[data-sheet-form] textarea")) {
    event.preventDefault();
    field.form.requestSubmit(find("[data-enter]", field.form));
  }
}

/* Press the visible control that names the key in data-key. */
function pressControl(event, root) {
  if (event.key.length !== 1 || !/[\w?[\]*]/.test(event.key)) return;
  const controls = findAll(`[data-key="${CSS.escape(event.key)}"]`, root);
  const control = controls.find((one) => one.offsetParent !== null);
  if (!control) return;
  event.preventDefault();
  if (control.matches("textarea, input:not([type=radio])")) control.focus();
  else control.click();
  if (control.value) find(`[data-chooses="${CSS.escape(control.value)}"]`, control.form ?? root)?.focus(); // a date to type
}

function actionOf(event) {
  const { key } = event;
  if (key === "ArrowRight" && focusAlongRow(1)) return () => {};
  if (key === "ArrowLeft" && focusAlongRow(-1)) return () => {};
  if (!isOn && key.length === 1 && key !== "?") return null;
  const isSecond = Date.now() - first.at < SECOND_KEY_MS;
  const second = isSecond && SECOND_KEYS[first.key]?.(key);
  first = second || !Object.hasOwn(SECOND_KEYS, key) ? { key: "", at: 0 } : { key, at: Date.now() };
  if (second) return second;
  if (key === "/") {
    return () => {
      const box = find("#q") || find("#jump");
      if (!box.offsetParent) location.hash = box.id; // on a narrow screen the search is shown when it is the target
      box.focus();
      box.select();
    };
  }
  return pageName === "queue" && Object.hasOwn(QUEUE_KEYS, key) ? QUEUE_KEYS[key] : null;
}

export function watchKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") hideAnnouncement();
    if (isPageTurning() || keepEarlyKey(event.key)) {
      event.preventDefault();
      return;
    }
    const active = document.activeElement;
    if (isTextField(active)) {
      pressInTextField(event, active);
      return;
    }
    if (writeOwnText(event)) return;
    if (dialog.open) {
      pressControl(event, dialog);
      return;
    }
    const act = actionOf(event);
    if (act) {
      event.preventDefault();
      act();
    } else if (isOn || event.key === "?") {
      pressControl(event, document);
    }
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-keys-switch]")) return;
    isOn = !isOn;
    localStorage.setItem("keys", isOn ? "on" : "off");
    showKeySwitch();
  });
}
