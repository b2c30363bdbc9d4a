/* Updates the numbers and ages of the queue, and says which rows others decided. Rows stay where they are. */

import { find, findAll } from "./dom.js";
import { allRows, isDecided, keyOf, rowById } from "./rows.js";
import { tickOf } from "./selection.js";

const NUMBERS = [".head > p", ".narrow-bar", "#views", "#facets"];

/* A part that is in use stays as it is until the next time. */
function replace(part, fresh) {
  if (!part || !fresh || part.contains(document.activeElement) || part.textContent === fresh.textContent) return;
  part.replaceWith(document.adoptNode(fresh));
}

function sayingOf(row) {
  return find(".c-say", row).textContent.replace(/\s+/g, " ").trim();
}

function differs(row, fresh) {
  const current = find(`#rows > [data-request-id="${CSS.escape(keyOf(row))}"]`, fresh);
  return !current || sayingOf(current) !== sayingOf(row);
}

/* The rows that the fresh page does not have like this: somebody else may have decided them. */
function otherRows(fresh) {
  return allRows().filter((row) => !isDecided(row) && !tickOf(row)?.checked && differs(row, fresh));
}

/* Return the keys of the rows to ask for. The call runs in the background, so it does not extend the session. */
export async function refreshQueue() {
  let fresh;
  try {
    const answer = await fetch(location.href, { headers: { "HX-Request": "true", "HX-Trigger": "via-poll" } });
    if (!answer.ok) return [];
    fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    return []; // try again at the next interval
  }
  for (const selector of NUMBERS) replace(find(selector), find(selector, fresh));
  for (const row of findAll("#rows > [data-request-id]", fresh)) {
    const shown = rowById(keyOf(row));
    if (shown) replace(find(".c-age time", shown), find(".c-age time", row));
  }
  return otherRows(fresh).map(keyOf);
}
