/* Announces a text: screen readers read it, and everybody sees it at the bottom of the window for a while. */

import { find } from "./dom.js";

const SHOWN_MS = 5000;
const IN_USE_MS = 1000; // how often a message that is focused or pointed at is looked at again
const GAP = 8; // pixels above the bars at the bottom
const BARS = ".keys, .picked, .verbs, #sheet .leaves > .btns";

const region = find("#said");
let timer = 0;
let focusedBefore = null; // what had the focus before the message

/* The height of the bars that stick to the bottom of the window. */
function bottomEdge() {
  const edges = [...document.querySelectorAll(BARS)]
    .map((bar) => bar.getBoundingClientRect())
    .filter(({ top, bottom, height }) => height && bottom > innerHeight - 2 * height - GAP && top > innerHeight / 2);
  return Math.max(0, ...edges.map(({ top }) => innerHeight - top));
}

export function announce(text) {
  region.textContent = "";
  requestAnimationFrame(() => {
    region.textContent = text;
    region.tabIndex = 0;
    region.style.setProperty("inset-block-end", `${bottomEdge() + GAP}px`);
    if (region.matches(":popover-open")) region.hidePopover();
    region.showPopover(); // above a sheet that is open
    clearTimeout(timer);
    timer = setTimeout(hideUnused, SHOWN_MS);
  });
}

function hideUnused() {
  if (region.matches(":hover, :focus")) timer = setTimeout(hideUnused, IN_USE_MS);
  else hideAnnouncement();
}

export function hideAnnouncement() {
  clearTimeout(timer);
  if (!region.matches(":popover-open")) return;
  const hadFocus = document.activeElement === region;
  region.hidePopover();
  region.textContent = "";
  region.removeAttribute("tabindex");
  if (hadFocus && focusedBefore?.isConnected) focusedBefore.focus({ preventScroll: true });
}

export function watchAnnouncements() {
  document.addEventListener("desk-said", (event) => announce(event.detail.value));
  region.addEventListener("focus", (event) => {
    focusedBefore = event.relatedTarget;
  });
}
