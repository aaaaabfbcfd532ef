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

const SVG = "http://www.w3.org/2000/svg";

/** One of the icons of the page. @param {string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.append(document.createElementNS(SVG, "use"));
  svg.firstChild.setAttribute("href", `#i-${name}`);
  return svg;
}

export const isAtEnd = ({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight < 80;

/** Elements that will be longer with the next frame, and whether their end was in view. @type {Map<HTMLElement, boolean>} */
const growing = new Map();

/** Do something that makes this element longer, and stay at its end if its end was in view: once a frame, however much happens. */
export function atEnd(element, change) {
  if (!growing.size) requestAnimationFrame(stay);
  if (!growing.has(element)) growing.set(element, isAtEnd(element));
  return change();
}

function stay() {
  for (const [element, was_at_end] of growing) if (was_at_end) element.scrollTop = element.scrollHeight;
  growing.clear();
}

/** Copy a text. @param {HTMLButtonElement} [button] says so for a moment @param {string} [said] instead of its words */
export async function copy(text, button, said) {
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else copyWithoutClipboard(text);
  if (!button) return;
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
