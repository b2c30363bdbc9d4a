/* Updates the page of a run at each `change` event. Without this script the page has a link to reload. */

const POLL_MS = 2000; // if the stream of events cannot be opened
const ANNOUNCE_MS = 10000;

const part = () => document.getElementById("live");

function watchRun(eventsUrl) {
  let isBusy = false;
  let announcedAt = 0;
  let poll = 0;
  const source = new EventSource(eventsUrl);

  function end() {
    source.close();
    clearInterval(poll);
    location.reload();
  }

  function showAnswer() {
    isBusy = false;
    const { events, title, said } = part().dataset;
    if (!events) {
      end();
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
    const url = part().dataset.part || location.href;
    htmx.ajax("GET", url, { target: "#live", swap: "outerHTML" }).finally(showAnswer);
  }

  source.addEventListener("change", refresh);
  source.addEventListener("end", end);
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED && !poll) poll = setInterval(refresh, POLL_MS);
  });
  document.addEventListener("visibilitychange", refresh);
}

const eventsUrl = part()?.dataset.events;
if (eventsUrl) watchRun(eventsUrl);
