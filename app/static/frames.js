/** The drawer that shows every frame, either way. */

import { byId, copy, download, make } from "./dom.js";
import { t } from "./i18n.js";

const MOST_KEPT = 5000;
/** Of what can be scrolled to, so many rows are there above and below what is in sight. */
const MORE_ROWS = 10;
/** So many are made for one frame of the browser: a burst runs through, a leap fills up. */
const MOST_MADE = 6;
/** A reader at the end who is further behind is not led through it. */
const MOST_BEHIND = 300;
const ROW_REM = 1.75;
/** So far from the end, in pixels, a reader is at the end. */
const NEAR = 80;
const MOST_GIST = 200;

/** @typedef {{at_ms: number, direction: "in" | "out", frame: any, size: number}} Entry */

/** Only the rows in sight are there: with all of them each frame of the browser costs as much as they do. */
export class Frames {
  /** @type {Entry[]} */
  #entries = [];
  /** What the filter lets through. @type {Entry[]} */
  #fitting = [];
  #begun = 0;
  #needle = "";
  #is_planned = false;
  #follows = true;
  /** How high a closed row is. */
  #row = 28;
  /** What is to be in sight, and where the scroller is: nothing is asked of a page that has just changed. */
  #view = { top: 0, height: 0 };
  #at = 0;
  /** Where the rows that are there begin and end among those that fit. */
  #there = { first: 0, end: 0 };
  /** How much higher than a row those are that are open. @type {Map<Entry, number>} */
  #open = new Map();
  /** @type {Map<Entry, HTMLElement>} */
  #rows = new Map();
  #drawer = byId("drawer");
  #scroller = byId("frames");
  #above = make("div");
  #list = make("ol");
  #below = make("div");
  #filter = byId("filter");
  #toggle = byId("toggle-frames");
  #sizes = new ResizeObserver((changes) => this.#resized(changes));

  constructor() {
    this.#scroller.append(this.#above, this.#list, this.#below);
    this.#toggle.onclick = () => this.#show(this.#drawer.hidden);
    byId("close-frames").onclick = () => this.#show(false);
    this.#drawer.onkeydown = ({ key }) => {
      if (key === "Escape") this.#show(false);
    };
    this.#filter.oninput = () => this.#showAll();
    byId("clear-frames").onclick = () => this.#clear();
    byId("download-frames").onclick = () => download("frames.jsonl", this.#lines());
    byId("copy-frames").onclick = ({ currentTarget }) => copy(this.#lines(), currentTarget, t("copied"));
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // Who reads a row is not taken along.
    this.#list.addEventListener("focusin", () => (this.#follows = false));
  }

  /** @param {{direction: "in" | "out", frame: any, size: number}} seen */
  add({ direction, frame, size }) {
    const now = performance.now();
    if (!this.#entries.length) this.#begun = now;
    // The token would let whoever gets the file take the session over.
    const shown = frame.resume_token ? { ...frame, resume_token: "…" } : frame;
    const entry = { at_ms: Math.round(now - this.#begun), direction, frame: shown, size };
    this.#entries.push(entry);
    if (this.#entries.length > MOST_KEPT) this.#forget(this.#entries.shift());
    if (!this.#drawer.hidden && this.#fits(entry)) this.#fitting.push(entry);
    this.#plan();
  }

  /** What is below it moves up, but not under the eyes of a reader. @param {Entry} entry */
  #forget(entry) {
    if (this.#fitting[0] !== entry) return;
    this.#fitting.shift();
    this.#view.top = Math.max(0, this.#view.top - this.#row - (this.#open.get(entry) ?? 0));
    this.#there = { first: Math.max(0, this.#there.first - 1), end: Math.max(0, this.#there.end - 1) };
    this.#open.delete(entry);
  }

  #show(is_open) {
    this.#drawer.hidden = !is_open;
    this.#toggle.setAttribute("aria-expanded", String(is_open));
    document.body.classList.toggle("with-drawer", is_open);
    if (is_open) {
      this.#sizes.observe(this.#scroller);
      this.#showAll();
      this.#filter.focus();
    } else {
      this.#sizes.disconnect();
      this.#empty();
      this.#toggle.focus();
    }
  }

  #clear() {
    this.#entries = [];
    this.#showAll();
  }

  #empty() {
    this.#fitting = [];
    this.#open.clear();
    this.#rows.clear();
    this.#list.replaceChildren();
  }

  #fits(entry) {
    return !this.#needle || JSON.stringify(entry.frame).toLowerCase().includes(this.#needle);
  }

  #showAll() {
    this.#empty();
    this.#needle = this.#filter.value.trim().toLowerCase();
    this.#fitting = this.#entries.filter((entry) => this.#fits(entry));
    this.#there = { first: this.#fitting.length, end: this.#fitting.length };
    this.#follows = true;
    this.#row = ROW_REM * parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.#view.height = this.#scroller.clientHeight;
    this.#render();
  }

  /** Once for each frame of the browser, however many came. */
  #plan() {
    if (this.#is_planned) return;
    this.#is_planned = true;
    requestAnimationFrame(() => {
      this.#is_planned = false;
      this.#render();
    });
  }

  #scrolled() {
    const { scrollTop } = this.#scroller;
    const moved = scrollTop - this.#at;
    if (Math.abs(moved) < 1) return; // it was done here
    this.#at = this.#view.top = scrollTop;
    // Who turns back is not held, however slowly they go.
    this.#follows = moved > 0 && this.#topOf(this.#fitting.length) - scrollTop - this.#view.height < NEAR;
    this.#render();
  }

  #resized(changes) {
    for (const { target } of changes) {
      if (target === this.#scroller) this.#view.height = target.clientHeight;
      else if (this.#open.has(target.entry)) this.#open.set(target.entry, target.offsetHeight - this.#row);
    }
    this.#render();
  }

  #render() {
    byId("frame-count").textContent = this.#entries.length;
    if (this.#drawer.hidden) return;
    const count = this.#fitting.length;
    const { height } = this.#view;
    const last = count - this.#there.end > MOST_BEHIND ? count : Math.min(count, this.#there.end + MOST_MADE);
    const top = this.#follows ? Math.max(0, this.#topOf(last) - height) : this.#view.top;
    const { first, end } = this.#reach(
      Math.max(0, this.#indexAt(top) - MORE_ROWS),
      Math.min(this.#follows ? last : count, this.#indexAt(top + height) + 1 + MORE_ROWS),
      this.#indexAt(top),
    );
    this.#showRows(this.#fitting.slice(first, end), first);
    this.#there = { first, end };
    this.#above.style.height = `${this.#topOf(first)}px`;
    this.#below.style.height = `${this.#topOf(count) - this.#topOf(end)}px`;
    byId("frames-shown").textContent = t("frames_shown", { shown: count, total: this.#entries.length });
    this.#view.top = top;
    if (top !== this.#at) this.#scroller.scrollTop = this.#at = top;
  }

  /** As much of this as is there, and some more of it: first what is in sight. */
  #reach(first, end, top) {
    let from = Math.max(first, this.#there.first);
    let to = Math.min(end, this.#there.end);
    if (from >= to) from = to = this.#follows ? end : Math.min(end, top);
    const down = Math.min(end - to, MOST_MADE);
    const up = Math.min(from - first, MOST_MADE - down);
    if (to + down < this.#fitting.length && (this.#follows || to + down < end)) this.#plan();
    else if (from - up > first) this.#plan();
    return { first: from - up, end: to + down };
  }

  /** @param {Entry[]} entries @param {number} first the place of the first of them */
  #showRows(entries, first) {
    const wanted = new Set(entries);
    const focused = this.#list.contains(document.activeElement) && document.activeElement.closest("li").entry;
    // The next key goes on from here. Now, while all is there: it makes the browser look how high the rows are.
    if (focused && !wanted.has(focused)) this.#scroller.focus({ preventScroll: true });
    for (const [entry, row] of this.#rows) {
      if (wanted.has(entry)) continue;
      this.#sizes.unobserve(row);
      this.#rows.delete(entry);
      row.remove();
    }
    let next = this.#list.firstChild;
    for (const [i, entry] of entries.entries()) {
      const known = this.#rows.get(entry);
      if (known) next = known.nextSibling;
      else this.#list.insertBefore(this.#makeRow(entry, first + i), next);
    }
  }

  /** @returns {{index: number, higher: number}[]} the open ones, from above */
  get #opened() {
    const opened = [...this.#open].map(([entry, higher]) => ({ index: this.#fitting.indexOf(entry), higher }));
    return opened.sort((one, other) => one.index - other.index);
  }

  #topOf(index) {
    return this.#opened.reduce((top, each) => top + (each.index < index ? each.higher : 0), index * this.#row);
  }

  #indexAt(y) {
    for (const { index, higher } of this.#opened) {
      if (y < (index + 1) * this.#row) break;
      y = Math.max(index * this.#row, y - higher);
    }
    return Math.max(0, Math.floor(y / this.#row));
  }

  #makeRow(entry, index) {
    const row = rowOf(entry, index, this.#open.has(entry));
    const details = row.firstChild;
    if (details.open) this.#sizes.observe(row);
    details.addEventListener("toggle", () => {
      if (details.open === this.#open.has(entry)) return;
      if (details.open) {
        this.#open.set(entry, 0);
        this.#sizes.observe(row);
      } else {
        this.#open.delete(entry);
        this.#sizes.unobserve(row);
        this.#render();
      }
    });
    row.entry = entry;
    this.#rows.set(entry, row);
    return row;
  }

  /** As `python -m app replay` reads it. */
  #lines() {
    const lines = this.#entries.filter((entry) => this.#fits(entry));
    return lines.map(({ at_ms, direction, frame }) => `${JSON.stringify({ at_ms, direction, frame })}\n`).join("");
  }
}

/** @param {Entry} entry @param {number} index @param {boolean} is_open */
function rowOf({ at_ms, direction, frame, size }, index, is_open) {
  const { type, session_id, seq, ...rest } = frame;
  const arrow = direction === "out" ? "↑" : "↓";
  const summary = make(
    "summary",
    {},
    make("span", { class: "when" }, `${(at_ms / 1000).toFixed(3)}`),
    make("span", { class: "arrow", role: "img", "aria-label": direction }, arrow),
    make("span", { class: "kind" }, type),
    make("span", { class: "gist", dir: "auto" }, String(gist(rest)).slice(0, MOST_GIST)),
    make("span", { class: "size" }, `${size} B`),
  );
  const details = make("details", { open: is_open }, summary);
  const showFrame = () => details.append(make("pre", { tabIndex: 0 }, JSON.stringify(frame, null, 2)));
  if (is_open) showFrame();
  // Most are never opened.
  else details.addEventListener("toggle", showFrame, { once: true });
  // Those that are not there are counted, too.
  return make("li", { class: direction, "aria-posinset": index + 1, "aria-setsize": -1 }, details);
}

const gist = ({ stage, action, code, text, content, final, received_type, message }) =>
  stage ?? action ?? code ?? text ?? (content || (final ? "final" : received_type ?? message ?? ""));
