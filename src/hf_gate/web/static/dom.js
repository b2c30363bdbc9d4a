/* Short helpers for the document. Untrusted text goes into textContent only, so it cannot become markup. */

export const find = (selector, root = document) => root.querySelector(selector);
export const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];

/* Announce a text to screen readers. */
export function announce(text) {
  const region = find("#said");
  region.textContent = "";
  requestAnimationFrame(() => {
    region.textContent = text;
  });
}

export const pageName = document.body.dataset.page;
