/** Markdown of an answer as it grows: safe, and no slower for a long one. */

import { Marked } from "./vendor/marked.esm.js";
import "./vendor/purify.min.js";

const { DOMPurify } = globalThis;

// What an answer may be made of. No images: an address in an answer must not be fetched just by being shown.
const ALLOWED = {
  ALLOWED_TAGS:
    "a b blockquote br code del em h1 h2 h3 h4 h5 h6 hr i li ol p pre s strong sub sup table tbody td th thead tr ul".split(" "),
  ALLOWED_ATTR: ["align", "href", "start", "title"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
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

const markdown = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    // HTML is shown as the text it is, but for bare tags of formatting: models write <br> into their tables.
    html: ({ text }) => escape(text).replace(BARE_TAG, "<$1$2>"),
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

// What costs more than it is worth, or more than there is of the stack: it is shown as the text it is.
const MOST_CHARS = 300_000;
const MOST_CHARS_OF_A_BLOCK = 20_000;
const DEEP = /(?:[>*_[\](){}~`+] ?){60}|^[ \t]{400}/m;

const isTooMuch = (text) =>
  text.length > MOST_CHARS || DEEP.test(text) || text.split(/\n\s*\n/).some((block) => block.length > MOST_CHARS_OF_A_BLOCK);

/** Shows a text in an element. Only blocks that changed are made anew; a slow one makes the next wait longer. */
export class MarkdownView {
  #blocks = [];
  #element;
  #around;
  #text = "";
  #timer = 0;
  #is_plain = false;

  /**
   * @param {HTMLElement} element
   * @param {(change: () => void) => void} around is called with what makes the element longer
   */
  constructor(element, around) {
    this.#element = element;
    this.#around = around;
  }

  /** Show this text soon. @param {string} text */
  show(text) {
    this.#text = text;
    this.#timer ||= setTimeout(() => this.#around(() => this.#render()), 16);
  }

  /** Show the last text now: nothing more comes. */
  finish() {
    clearTimeout(this.#timer);
    this.#render();
  }

  #render() {
    const begun = performance.now();
    this.#is_plain ||= isTooMuch(this.#text);
    if (!this.#is_plain) {
      try {
        this.#showBlocks();
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        this.#is_plain = true; // the stack was not deep enough
      }
    }
    if (this.#is_plain) this.#showPlain();
    const shown = this.#text;
    this.#timer = setTimeout(
      () => {
        this.#timer = 0;
        if (this.#text !== shown) this.show(this.#text);
      },
      Math.max(16, 8 * (performance.now() - begun)),
    );
  }

  #showBlocks() {
    const tokens = markdown.lexer(this.#text);
    const blocks = tokens.filter((token) => token.type !== "space" && token.type !== "def");
    let same = 0;
    while (same < blocks.length && blocks[same].raw === this.#blocks[same]?.raw) same++;
    for (const { nodes } of this.#blocks.splice(same)) nodes.forEach((node) => node.remove());
    for (const token of blocks.slice(same)) {
      const html = markdown.parser([token]);
      const fragment = DOMPurify.sanitize(html, ALLOWED);
      // Each by its own first letter: answers quote other languages. Code begins on the left everywhere.
      for (const block of fragment.children) block.dir = block.tagName === "PRE" ? "ltr" : "auto";
      this.#blocks.push({ raw: token.raw, nodes: [...fragment.childNodes] });
      this.#element.append(fragment);
    }
    for (const region of this.#element.querySelectorAll("pre, table")) region.tabIndex = 0; // they scroll by themselves
  }

  #showPlain() {
    for (const { nodes } of this.#blocks.splice(0)) nodes.forEach((node) => node.remove());
    let plain = this.#element.querySelector(":scope > .plain");
    if (!plain) {
      plain = document.createElement("div");
      plain.className = "plain";
      plain.dir = "auto";
      this.#element.replaceChildren(plain);
    }
    const shown = plain.textContent;
    if (this.#text.startsWith(shown)) plain.append(this.#text.slice(shown.length));
    else plain.textContent = this.#text;
  }
}
