/** Markdown of an answer as it grows, and no slower for a long one. */

// What costs more than it is worth, or more than there is of the stack: it is shown as the text it is.
const MOST_CHARS = 300_000;
// Reading a block takes up to the square of its length: one of 20,000 characters, or fifteen of 5,000.
const MOST_WORK = 20_000 ** 2;
const DEEP = /(?:[>*_[\](){}~`+] ?){60}|^[ \t]{400}/m;

const isTooMuch = (text) =>
  text.length > MOST_CHARS || DEEP.test(text) || text.split(/\n[^\S\n]*\n/).reduce((work, { length }) => work + length ** 2, 0) > MOST_WORK;

/** What makes Markdown of it is a third of the page: it comes with the first question. @type {typeof import("./rendering.js")} */
let rendering;
let is_loading = false;
let views = 0;
/** The views that show the text as it is until it has come. @type {Set<MarkdownView>} */
const plain = new Set();

/** @param {ParentNode} node @returns {{former: HTMLDetailsElement, is_focused: boolean}[]} what folds in it, as it is now */
function foldsOf(node) {
  const folds = [...(node.querySelectorAll?.("details") ?? [])];
  if (node.localName === "details") folds.unshift(node);
  return folds.map((former) => ({ former, is_focused: former.firstElementChild === document.activeElement }));
}

/** Shows a text in an element. Only blocks that changed are made anew; a slow one makes the next wait longer. */
export class MarkdownView {
  #blocks = [];
  #element;
  #text = "";
  #timer = 0;
  #is_plain = false;
  #is_over = false;
  /** What folded in the blocks that are made anew. @type {{former: HTMLDetailsElement, is_focused: boolean}[]} */
  #folds = [];
  #ids = `part-${++views}`;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
    this.#load();
  }

  async #load() {
    if (rendering) return;
    plain.add(this);
    if (is_loading) return;
    is_loading = true;
    try {
      rendering = await import("./rendering.js");
    } catch {
      return; // The texts stay what they are; the end of an answer, and the next question, try again.
    } finally {
      is_loading = false;
    }
    for (const view of plain) view.#render();
    plain.clear();
  }

  /** Show this text soon. @param {string} text */
  show(text) {
    this.#text = text;
    this.#timer ||= setTimeout(() => this.#render(), 16);
  }

  /** Show the last text now: nothing more comes. */
  finish() {
    this.#is_over = true;
    this.#load();
    this.#render();
  }

  #render() {
    clearTimeout(this.#timer);
    const begun = performance.now();
    this.#is_plain ||= isTooMuch(this.#text);
    if (rendering && !this.#is_plain) {
      try {
        this.#showBlocks();
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        this.#is_plain = true; // the stack was not deep enough, or a block has too many lines
      }
    }
    if (this.#is_plain || !rendering) this.#showPlain();
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
    this.#element.querySelector(":scope > .plain")?.remove();
    const blocks = rendering.blocksOf(this.#text, this.#is_over);
    let same = 0;
    while (same < blocks.length && blocks[same].key === this.#blocks[same]?.key) same++;
    const gone = this.#blocks.splice(same).flatMap(({ nodes }) => nodes);
    this.#folds.unshift(...gone.flatMap((node) => foldsOf(node)));
    gone.forEach((node) => node.remove());
    for (const token of blocks.slice(same)) {
      const fragment = rendering.nodesOf(token, this.#ids);
      foldsOf(fragment).forEach(({ former }) => this.#takeOver(former));
      // What goes on with a list stands in the list.
      const list = token.is_more && this.#element.querySelector(":scope > :is(ol, ul):last-child");
      const shown = list ? fragment.firstChild : fragment;
      this.#blocks.push({ key: token.key, nodes: [...shown.childNodes] });
      (list || this.#element).append(...shown.childNodes);
    }
  }

  /** What stands for a fold is as open as the reader has left that one. @param {HTMLDetailsElement} fold */
  #takeOver(fold) {
    const { former, is_focused } = this.#folds.shift() ?? {};
    if (former) fold.open = former.open;
    if (is_focused) setTimeout(() => fold.firstElementChild.focus({ preventScroll: true }));
  }

  #showPlain() {
    for (const { nodes } of this.#blocks.splice(0)) nodes.forEach((node) => node.remove());
    if (!this.#text) return this.#element.replaceChildren();
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
