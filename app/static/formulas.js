/** Formulas, in the browser's own MathML. */

import temml from "./vendor/temml.min.js";

const MOST_CHARS = 2000;
// Of what a formula says the size of, in em and in points: nothing covers the page.
const maxSize = [40, 400];

/** @param {HTMLElement} code with TeX: what is not understood stays as it is */
export function show(code) {
  const shown = document.createElement("span");
  const is_display = code.classList.contains("display");
  if (code.textContent.length > MOST_CHARS) return;
  try {
    temml.render(code.textContent, shown, { displayMode: is_display, throwOnError: true, trust: false, maxSize });
  } catch {
    return;
  }
  shown.className = code.className;
  if (is_display) shown.tabIndex = 0; // it scrolls by itself
  code.replaceWith(shown);
}
