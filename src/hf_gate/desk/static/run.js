/* Updates the page of a run while it runs. Without this script the page has a link to reload. */

const POLL_MS = 2000;
const ANNOUNCE_MS = 10000;

const part = () => document.getElementById("live");

function watchRun() {
  let isBusy = false;
  let announcedAt = 0;

  function showAnswer() {
    isBusy = false;
    const { part: url, title, said } = part().dataset;
    if (!url) {
      location.reload();
      return;
    }
    document.querySelector("h1").textContent = title;
    if (Date.now() - announcedAt <= ANNOUNCE_MS) return;
    announcedAt = Date.now();
    document.getElementById("live-said").textContent = said;
  }

  function refresh() {
    if (isBusy || document.hidden) return;
    isBusy = true;
    htmx.ajax("GET", part().dataset.part, { target: "#live", swap: "outerHTML" }).finally(showAnswer);
  }

  setInterval(refresh, POLL_MS);
  document.addEventListener("visibilitychange", refresh);
}

if (part()?.dataset.part) watchRun();
