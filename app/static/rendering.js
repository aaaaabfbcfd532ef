/** Blocks of Markdown, and the safe nodes that they become. */

import { Marked } from "./vendor/marked.esm.js";
import { copy, make } from "./dom.js";
import { details, footnote, math, reference, knowFootnotes } from "./syntax.js";
import { t } from "./i18n.js";
import "./vendor/purify.min.js";

const { DOMPurify } = globalThis;

// What an answer may be made of. No images: an address in an answer must not be fetched just by being shown.
const ALLOWED = {
  ALLOWED_TAGS:
    "a b blockquote br code del details em h1 h2 h3 h4 h5 h6 hr i li ol p pre s span strong sub summary sup table tbody td th thead tr ul".split(" "),
  // HTML is no HTML here: a class is one of ours.
  ALLOWED_ATTR: ["align", "class", "href", "open", "start", "title"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  ADD_URI_SAFE_ATTR: ["align", "start"], // no addresses
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A" || !node.hasAttribute("href")) return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

const BARE_TAG = /&#60;(\/?)(b|br|del|em|i|p|s|strong|sub|sup)\s*\/?&#62;/gi;
const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

// Each row has as many cells as its head, however little stands in it.
const MOST_CELLS = 10_000;
const TABLE = /^[^\n]+\n([ \t|:-]+)(?:\n[^\n]+)*/;

const markdown = new Marked({
  gfm: true,
  breaks: true,
  tokenizer: {
    table(text) {
      const [table, rule] = TABLE.exec(text) ?? [];
      // Undefined: it is none; false: it may be one.
      return table && rule.split("|").length * table.split("\n").length > MOST_CELLS ? undefined : false;
    },
  },
  renderer: {
    // HTML is shown as the text it is, but for bare tags of formatting: models write <br> into their tables.
    html: ({ text }) => escape(text).replace(BARE_TAG, "<$1$2>"),
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
  extensions: [details, footnote, reference, ...math],
});

const PART_LINES = 100;
/** A block of more than that, which has no parts, is shown as the text it is: it would keep the page for long. */
const MOST_LINES = 1500;

/** While a text grows, what is marked in its last paragraph ends where the text does. */
function closed(text) {
  if ((text.match(/^ {0,3}(?:```|~~~)/gm) ?? []).length % 2) return text; // within code
  const paragraph = text.slice(text.lastIndexOf("\n\n") + 1);
  const isOpen = (mark) => (paragraph.split(mark).length - 1) % 2;
  const marks = isOpen("`") ? "`" : isOpen("**") ? "**" : "";
  return marks && text.trimEnd().endsWith(marks) ? text : text.trimEnd() + marks;
}

/** @param {string} text @param {boolean} is_over whether nothing more comes @returns {object[]} the same `key` means the same block */
export function blocksOf(text, is_over) {
  const notes = knowFootnotes(text);
  const tokens = markdown.lexer(is_over ? text : closed(text)).filter(({ type }) => type !== "space" && type !== "def");
  return tokens.flatMap(partsOf).map((token) => Object.assign(token, { key: keyOf(token) + (token.raw.includes("[^") ? notes : "") }));
}

// A list with a blank line between its entries is set wider, all of it.
const keyOf = ({ type, raw, loose, is_more }) => (type === "list" ? `${raw}${loose}${is_more}` : raw);

const linesOf = (text) => text.split("\n").length;

/** A list that goes on and on in parts: only the last one is made anew while it grows, and none of them takes long. */
function partsOf(token) {
  if (token.type !== "list") {
    if (token.type !== "code" && token.type !== "table" && linesOf(token.raw) > MOST_LINES) throw new RangeError("too many lines");
    return [token];
  }
  const parts = [];
  let lines = Infinity;
  for (const item of token.items) {
    const more = linesOf(item.raw);
    if (more > MOST_LINES) throw new RangeError("too many lines");
    lines += more;
    if (lines > PART_LINES) {
      parts.push({ ...token, items: [], raw: "", is_more: parts.length > 0 });
      lines = more;
    }
    parts.at(-1).items.push(item);
    parts.at(-1).raw += item.raw;
  }
  return parts;
}

/** What is large comes when it is needed; from then on it is at hand, without a wait that would be seen. */
function needed(load) {
  let loaded;
  return async (use, is_needed) => {
    if (!is_needed) return;
    loaded ??= await load().catch(() => undefined); // Without a connection the text stays what it is.
    if (loaded) use(loaded);
  };
}

const withColours = needed(() => import("./colours.js"));
const withFormulas = needed(() => import("./formulas.js"));

/** @param {string} ids how the ids in this answer begin @returns {DocumentFragment} */
export function nodesOf(token, ids) {
  const fragment = DOMPurify.sanitize(markdown.parser([token]), ALLOWED);
  // Each by its own first letter: answers quote other languages. Code begins on the left everywhere.
  for (const block of fragment.children) block.dir = block.tagName === "PRE" ? "ltr" : "auto";
  fragment.querySelectorAll("pre").forEach(addCopy);
  fragment.querySelectorAll("table").forEach(addRoom);
  fragment.querySelectorAll(".footnote, .reference").forEach((note) => addLink(note, ids));
  const codes = fragment.querySelectorAll("pre > code[class]");
  const formulas = fragment.querySelectorAll("code.math");
  withColours(({ colour }) => codes.forEach(colour), codes.length);
  withFormulas(({ show }) => formulas.forEach(show), formulas.length);
  return fragment;
}

/** Its words are in its label: the text of the answer stays what it is. @param {HTMLElement} block */
function addCopy(block) {
  const button = make("button", { type: "button", "aria-label": t("copy_code") });
  button.onclick = async () => {
    await copy(block.textContent);
    button.setAttribute("aria-label", t("copied"));
  };
  const frame = make("div", { class: "code" });
  block.tabIndex = 0; // it scrolls by itself
  block.replaceWith(frame);
  frame.append(block, button);
}

/** A wide table scrolls by itself. @param {HTMLElement} table */
function addRoom(table) {
  const frame = make("div", { class: "wide", tabIndex: 0 });
  table.replaceWith(frame);
  frame.append(table);
}

/** A mark leads to its note, and back. @param {HTMLElement} element */
function addLink(element, ids) {
  const mark = element.querySelector("sup") ?? element;
  const id = `${ids}-${mark.textContent.replace(/[^\p{L}\p{N}]/gu, "_")}`;
  const is_note = mark !== element;
  element.id = is_note ? id : `${id}-back`;
  mark.replaceChildren(make("a", { href: `#${is_note ? `${id}-back` : id}` }, mark.textContent));
}
