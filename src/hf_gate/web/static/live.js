/* A run that is watched: at each beat the page asks for what moved. Without it the page is looked at again by its link. */
(() => {
  "use strict";
  const live = () => document.getElementById("live");
  const url = live() && live().dataset.events;
  if (!url) return;
  let busy = false, said = 0, poll = 0;
  const show = () => {
    if (busy || document.hidden) return;
    busy = true;
    htmx.ajax("GET", live().dataset.part || location.href, { target: "#live", swap: "outerHTML" }).finally(() => {
      busy = false;
      if (!live().dataset.events) { end(); return; }
      document.querySelector("h1").textContent = live().dataset.title;
      if (Date.now() - said > 10000) { said = Date.now(); document.getElementById("live-said").textContent = live().dataset.said; }
    });
  };
  const end = () => { source.close(); clearInterval(poll); location.reload(); };
  const source = new EventSource(url);
  source.addEventListener("beat", show);
  source.addEventListener("end", end);
  source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED && !poll) poll = setInterval(show, 2000); });
  document.addEventListener("visibilitychange", show);
})();
