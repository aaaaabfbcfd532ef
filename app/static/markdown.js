/** Markdown of an answer as it grows, and no slower for a long one. */

// What costs more than it is worth, or more than there is of the stack: it is shown as the text it is.
const MOST_CHARS = 300_000;
// Reading a block takes up to the square of its length: one of 20,000 characters, or fifteen of 5,000.
const MOST_WORK = 20_000 ** 2;
const DEEP = /(?:[>*_[\](){}~`+] ?){60}|^[ \t]{400}/m;

const isTooMuch = (text) =>
  text.length > MOST_CHARS || DEEP.test(text) || text.split(/\n[^\S\n]*\n/).reduce((work, { length }) => work + length ** 2, 0) > MOST_WORK;

/** So long a part of an answer keeps the page; longer, where the browser itself is slow to come back to it. */
const PART_MS = 10;
const MOST_MS = 30;
const NOTHING = ["", false, []];
const breath = () => new Promise((resolve) => setTimeout(resolve));

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
  /** Whether some of the text that was read is still to be made. */
  #is_behind = false;
  /** When the last part of it was made. */
  #made = 0;
  /** What was read last, whether it was all, and its blocks. @type {[string, boolean, object[]]} */
  #known = NOTHING;
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
    for (const view of plain) {
      await breath(); // to load it has taken its time, and so does the first text
      view.#render();
    }
    plain.clear();
  }

  /** Show this text soon. @param {string} text */
  show(text) {
    this.#text = text;
    this.#timer ||= setTimeout(() => this.#render(), 16);
  }

  /** Show the last text now: nothing more comes. @returns {Promise<void>} when all of it stands there */
  async finish() {
    this.#is_over = true;
    this.#load();
    this.#render();
    while (this.#is_behind) await breath();
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
    if (this.#is_behind) {
      this.#made = performance.now();
      this.#timer = setTimeout(() => this.#render());
      return;
    }
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
    const blocks = this.#read();
    const now = performance.now();
    const away = this.#is_behind ? now - this.#made : 0;
    const until = document.hidden ? Infinity : now + Math.min(Math.max(PART_MS, away), MOST_MS);
    let same = 0;
    while (same < blocks.length && blocks[same].key === this.#blocks[same]?.key) same++;
    const gone = this.#blocks.splice(same).flatMap(({ nodes }) => nodes);
    this.#folds.unshift(...gone.flatMap((node) => foldsOf(node)));
    gone.forEach((node) => node.remove());
    this.#is_behind = false;
    for (const token of blocks.slice(same)) {
      if (performance.now() > until) {
        this.#is_behind = true;
        return;
      }
      const fragment = rendering.nodesOf(token, this.#ids);
      foldsOf(fragment).forEach(({ former }) => this.#takeOver(former));
      // What goes on with a list stands in the list.
      const list = token.is_more && this.#element.querySelector(":scope > :is(ol, ul):last-child");
      const shown = list ? fragment.firstChild : fragment;
      this.#blocks.push({ key: token.key, nodes: [...shown.childNodes] });
      (list || this.#element).append(...shown.childNodes);
    }
    this.#known = NOTHING;
  }

  /** To go on with a text that is being made takes no second reading. */
  #read() {
    const [text, is_over, blocks] = this.#known;
    if (this.#is_behind && text === this.#text && is_over === this.#is_over) return blocks;
    this.#known = [this.#text, this.#is_over, rendering.blocksOf(this.#text, this.#is_over)];
    return this.#known[2];
  }

  /** What stands for a fold is as open as the reader has left that one. @param {HTMLDetailsElement} fold */
  #takeOver(fold) {
    const { former, is_focused } = this.#folds.shift() ?? {};
    if (former) fold.open = former.open;
    if (is_focused) setTimeout(() => fold.firstElementChild.focus({ preventScroll: true }));
  }

  #showPlain() {
    this.#is_behind = false;
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
