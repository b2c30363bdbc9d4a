/* Selects rows. The desk stores the selection; this script stores nothing. */

import { postSelection } from "./calls.js";
import { find, findAll } from "./dom.js";
import { allRows, keyOf } from "./rows.js";

let anchorKey = null; // where a range starts

export const tickOf = (row) => row && find("[data-pick]", row);

export function setTicks(boxes, isOn) {
  const changed = boxes.filter((box) => !box.disabled && box.checked !== isOn);
  for (const box of changed) box.checked = isOn;
  if (changed.length) postSelection({ do: isOn ? "add" : "remove", key: changed.map((box) => box.value) });
}

export function setAllTicks(isOn) {
  setTicks(findAll("#rows [data-pick]"), isOn);
}

/* Select everything that matches the query, or clear the selection. */
export function selectAll(scope) {
  for (const box of findAll("#rows [data-pick]")) if (!box.disabled) box.checked = scope === "all";
  postSelection({ do: scope });
}

export function toggleRow(row, { isRange = false } = {}) {
  if (!row) return;
  const box = tickOf(row);
  if (!box || box.disabled) return;
  const list = allRows();
  const from = isRange ? list.findIndex((one) => keyOf(one) === anchorKey) : -1;
  if (from >= 0) {
    const to = list.indexOf(row);
    const range = list.slice(Math.min(from, to), Math.max(from, to) + 1);
    setTicks(range.map(tickOf).filter(Boolean), true);
  } else {
    setTicks([box], !box.checked);
  }
  anchorKey = keyOf(row);
}

export function watchTicks() {
  document.addEventListener("change", (event) => {
    const box = event.target;
    if (box.matches("[data-pick]")) {
      anchorKey = keyOf(box.closest(".row"));
      postSelection({ do: box.checked ? "add" : "remove", key: box.value });
    }
    if (box.matches("[data-pick-page]")) setAllTicks(box.checked);
  });
}

/* ---- the page of a selection: its rows are ticked, and its numbers count the ticked ones ---- */

function showReady() {
  const total = find("[data-total]");
  if (!total) return;
  const boxes = findAll("[data-keep]");
  const count = Number(total.dataset.total) - boxes.filter((box) => !box.checked).length;
  for (const part of findAll("[data-ready]")) {
    const text = (count === 1 && part.dataset.readyOne) || part.dataset.ready;
    part.textContent = text.replace("%", count.toLocaleString("en-US"));
  }
  const page = find("[data-keep-page]");
  if (!page) return;
  const rows = findAll("[data-keep]", page.closest("table"));
  page.checked = rows.every((box) => box.checked);
  page.indeterminate = !page.checked && rows.some((box) => box.checked);
}

export function watchKeptRows() {
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-keep-page]")) {
      for (const box of findAll("[data-keep]", event.target.closest("table"))) box.checked = event.target.checked;
    }
    if (event.target.matches("[data-keep], [data-keep-page]")) showReady();
  });
  document.addEventListener("keydown", (event) => {
    const field = event.target;
    if (event.key !== "Enter" || !field.matches("[data-enters], #confirm :is([data-text], [data-chooses])")) return;
    event.preventDefault(); // Enter would press the first button of the form
    const main = find("[data-enter]", field.form);
    if (field.matches("[data-enters]")) main.click();
    else (find("[data-enters]", field.form) || main).focus(); // after a text or a date is chosen
  });
  addEventListener("pageshow", showReady); // the browser may restore unticked rows
}
