/** The few helpers that save writing the same lines of DOM again and again. */

/** @param {string} id @returns {HTMLElement} */
export const byId = (id) => document.getElementById(id);

/**
 * Make an element. `class` and names with a hyphen are attributes, everything else is a property.
 * @param {string} tag @param {Record<string, any>} [properties] @param {...(Node | string)} children
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class" || name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** Do something that makes this element longer, and stay at its end if its end was in view. */
export function atEnd(element, change) {
  const was_at_end = element.scrollHeight - element.scrollTop - element.clientHeight < 80;
  const result = change();
  if (was_at_end) element.scrollTop = element.scrollHeight;
  return result;
}

/** Copy a text. @param {HTMLButtonElement} button says so for a moment @param {string} said instead of its words */
export async function copy(text, button, said) {
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else copyWithoutClipboard(text);
  const words = button.textContent;
  if (words === said) return;
  button.textContent = said;
  setTimeout(() => (button.textContent = words), 1500);
}

/** Browsers have no clipboard for a page that comes by plain HTTP from another machine. */
function copyWithoutClipboard(text) {
  const field = make("textarea", { value: text });
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

/** Save a text as a file of the user's. */
export function download(name, text, type = "application/x-ndjson") {
  const address = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: address, download: name }).click();
  URL.revokeObjectURL(address);
}
