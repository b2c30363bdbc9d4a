/* Short names for the document. Text from people only ever goes into textContent, where it can be nothing but text. */

export const find = (selector, root = document) => root.querySelector(selector);
export const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];

/* Let screen readers announce a text. */
export function announce(text) {
  const region = find("#said");
  region.textContent = "";
  requestAnimationFrame(() => {
    region.textContent = text;
  });
}

export const pageName = document.body.dataset.page;
