/* Goes on to the next page of rows at the end of a page, and back at its top. Pages have no numbers, so the tab remembers
   from which page each one was reached. */

import { announce } from "./announcements.js";
import { afterDecisions, enqueueSelection } from "./calls.js";
import { find } from "./dom.js";

const LAST = "#last"; // in addresses: the last row has the focus
const nameOf = (url) => "page before " + url;
const here = location.pathname + location.search;
let isTurning = false; // a key now is meant for the next page, so it decides nothing on this one

export const isPageTurning = () => isTurning;
export const isReachedFromBelow = () => location.hash === LAST;

/* Leave when every key before this one was answered. */
function go(url) {
  isTurning = true;
  afterDecisions(() => enqueueSelection(() => (location.href = url)));
}

export function turnPage(offset) {
  const next = find(".pager a[rel=next]");
  const before = sessionStorage.getItem(nameOf(here));
  if (offset < 0 && before) go(before + LAST);
  else if (offset > 0 && next) go(next.href);
  else announce(offset > 0 ? "That is the last row." : "That is the first row.");
}

export function watchPages() {
  addEventListener("pageshow", () => (isTurning = false)); // also after the way back
  const next = find(".pager a[rel=next]");
  if (!next) return;
  const url = new URL(next.href);
  sessionStorage.setItem(nameOf(url.pathname + url.search), here);
}
