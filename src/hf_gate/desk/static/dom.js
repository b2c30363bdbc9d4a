/* Short helpers for the document. Untrusted text goes into textContent only, so it cannot become markup. */

export const find = (selector, root = document) => root.querySelector(selector);
export const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];

export const pageName = document.body.dataset.page;
