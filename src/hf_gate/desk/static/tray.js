/* Counts down the tray, and updates the rows of sent decisions. */

import { find, findAll, pageName } from "./dom.js";
import { announce } from "./announcements.js";
import { refreshQueue } from "./refresh.js";
import { keyOf } from "./rows.js";

const BUSY_MS = 1000;
const IDLE_MS = 15000;
const REFRESH_MS = 60000; // for what others decide, and for ages
const MOST_ROWS = 100; // in one call
const LEAVE_MS = 5000; // a download does not leave the page, so polling goes on after this time

let askedAt = 0;
let leftAt = 0;
let refreshedAt = Date.now();
let otherKeys = []; // of rows that others decided
let sentBefore = sentCount(); // how many decisions the bar said were sent

function sentCount() {
  return Number(find("#tray")?.dataset.sent);
}

function countDown() {
  for (const seconds of findAll("span[data-left]")) {
    const left = Math.max(0, Number(seconds.dataset.left) - 1);
    seconds.dataset.left = left;
    seconds.textContent = left;
  }
}

/* Whether a link was just followed. A reload now would cancel it. */
function isLeaving() {
  return Date.now() - leftAt < LEAVE_MS;
}

function pauseOf(isBusy, waiting) {
  if (isBusy) return BUSY_MS;
  return waiting ? 1000 * (waiting.dataset.wait || 2) : IDLE_MS;
}

/* An empty queue polls in the background, which does not extend the session, and reloads when there are rows. */
async function reloadIfFilled() {
  try {
    const answer = await fetch(location.href, { headers: { "HX-Request": "true", "HX-Trigger": "via-poll" } });
    if ((await answer.text()).includes('id="rows"') && !isLeaving()) location.reload();
  } catch {
    // try again at the next interval
  }
}

function beat() {
  countDown();
  const tray = find("#tray");
  const waiting = find("[data-wait]");
  const isBusy = Number(tray?.dataset.count) > 0 || findAll(".is-leaving").length + otherKeys.length > 0;
  const isEarly = Date.now() - askedAt < pauseOf(isBusy, waiting) - 50;
  if (document.hidden || isEarly || find(":is(#via-post, #via-poll).htmx-request")) return;
  askedAt = Date.now();
  if (waiting) {
    if (!isLeaving()) location.reload();
    return;
  }
  if (!isBusy && find("[data-look]") && !document.activeElement.matches("input, textarea")) reloadIfFilled();
  if (pageName === "queue" && !isBusy && Date.now() - refreshedAt > REFRESH_MS) refresh();
  if (pageName === "request" && !isBusy) return;
  if (pageName !== "queue" && !tray) return;
  const leaving = pageName === "queue" ? findAll(".is-leaving").map(keyOf) : [];
  const ids = [...leaving, ...otherKeys].slice(0, MOST_ROWS).join(",");
  otherKeys = [];
  htmx.ajax("GET", "/tray?rows=" + encodeURIComponent(ids), { source: "#via-poll", target: "#tray", swap: "outerHTML" });
}

async function refresh() {
  refreshedAt = Date.now();
  if (pageName === "queue" && !find("[data-look]")) otherKeys = await refreshQueue();
}

/* Say how many decisions were sent once none is left to send, and update the numbers of the page. An answer that says
   something itself, such as that an undo was too late, is not talked over. */
function noteSent(answer) {
  const sent = sentCount();
  if (Number(find("#tray").dataset.count)) return;
  if (sent > sentBefore) {
    if (!answer?.getResponseHeader("HX-Trigger")) announce(`${sent.toLocaleString("en-US")} sent.`);
    refresh();
  }
  sentBefore = sent;
}

export function watchTray() {
  addEventListener("beforeunload", () => (leftAt = Date.now()));
  setInterval(beat, 1000);
  document.addEventListener("htmx:afterSettle", (event) => noteSent(event.detail.xhr));
}
