/* Calls to the desk. Calls of one kind run one after the other: a call finds the part of the page that it replaces
   when it starts, so it must not start before the previous answer has been swapped in. */

import { find } from "./dom.js";

function createQueue() {
  let last = Promise.resolve();
  return (call) => {
    last = last.then(call).catch(() => {});
  };
}

const enqueueDecision = createQueue();
export const enqueueSelection = createQueue();

export function postDecision(url, values) {
  enqueueDecision(() => htmx.ajax("POST", url, { source: "#via-post", target: "#tray", swap: "outerHTML", values }));
}

/* Do something when every decision before it is stored. */
export const afterDecisions = (act) => enqueueDecision(act);

/* Get a sheet after the decisions before it are stored: it names the text that was used last. */
export function getSheet(url) {
  return new Promise((done) => {
    enqueueDecision(() =>
      htmx.ajax("GET", url, { source: "#via-sheet", target: "#sheet-body", swap: "innerHTML" }).finally(done),
    );
  });
}

export function postSelection(values) {
  enqueueSelection(() => {
    const query = find("#bulk [name=q]")?.value || "";
    return htmx.ajax("POST", "/selection", {
      source: "#via-pick",
      target: "#bulk",
      swap: "outerHTML",
      values: { q: query, ...values },
    });
  });
}
