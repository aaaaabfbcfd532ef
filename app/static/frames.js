/** The drawer that shows every frame, either way. */

import { byId, copy, download, isAtEnd, make } from "./dom.js";
import { t } from "./i18n.js";

const MOST_KEPT = 5000;
const MOST_SHOWN = 300;
const MOST_AT_ONCE = 10;

/** @typedef {{at_ms: number, direction: "in" | "out", frame: any, size: number}} Entry */

export class Frames {
  /** @type {Entry[]} */
  #entries = [];
  #begun = 0;
  /** What is not shown yet. @type {Entry[]} */
  #fresh = [];
  #is_planned = false;
  #drawer = byId("drawer");
  #list = byId("frames");
  #filter = byId("filter");
  #toggle = byId("toggle-frames");

  constructor() {
    this.#toggle.onclick = () => this.#open(this.#drawer.hidden);
    byId("close-frames").onclick = () => this.#open(false);
    this.#drawer.onkeydown = ({ key }) => {
      if (key === "Escape") this.#open(false);
    };
    this.#filter.oninput = () => this.#showAll();
    byId("clear-frames").onclick = () => this.#clear();
    byId("download-frames").onclick = () => download("frames.jsonl", this.#lines());
    byId("copy-frames").onclick = ({ currentTarget }) => copy(this.#lines(), currentTarget, t("copied"));
  }

  /** @param {{direction: "in" | "out", frame: any, size: number}} seen */
  add({ direction, frame, size }) {
    const now = performance.now();
    if (!this.#entries.length) this.#begun = now;
    // The token would let whoever gets the file take the session over.
    const shown = frame.resume_token ? { ...frame, resume_token: "…" } : frame;
    const entry = { at_ms: Math.round(now - this.#begun), direction, frame: shown, size };
    this.#entries.push(entry);
    if (this.#entries.length > MOST_KEPT) this.#entries.shift();
    this.#fresh.push(entry);
    if (this.#fresh.length > MOST_SHOWN) this.#fresh.shift();
    this.#plan();
  }

  #open(is_open) {
    this.#drawer.hidden = !is_open;
    this.#toggle.setAttribute("aria-expanded", String(is_open));
    document.body.classList.toggle("with-drawer", is_open);
    if (is_open) {
      this.#showAll();
      this.#filter.focus();
    } else {
      this.#list.replaceChildren();
      this.#toggle.focus();
    }
  }

  #clear() {
    this.#entries = [];
    byId("frame-count").textContent = 0;
    this.#showAll();
  }

  #fits(entry) {
    return JSON.stringify(entry.frame).toLowerCase().includes(this.#filter.value.trim().toLowerCase());
  }

  #fitting() {
    return this.#entries.filter((entry) => this.#fits(entry));
  }

  #showAll() {
    this.#fresh = [];
    this.#list.replaceChildren();
    this.#fitting().slice(-MOST_SHOWN).forEach((entry) => this.#list.append(row(entry)));
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#count();
  }

  /** Some for each frame of the browser, however many came. */
  #plan() {
    if (this.#is_planned) return;
    this.#is_planned = true;
    requestAnimationFrame(() => {
      this.#is_planned = false;
      this.#showFresh();
      if (this.#fresh.length) this.#plan();
    });
  }

  #showFresh() {
    byId("frame-count").textContent = this.#entries.length;
    if (this.#drawer.hidden) this.#fresh = [];
    const fresh = this.#fresh.splice(0, MOST_AT_ONCE);
    if (!fresh.length) return;
    const was_at_end = isAtEnd(this.#list);
    this.#list.append(...fresh.filter((entry) => this.#fits(entry)).map(row));
    while (this.#list.childElementCount > MOST_SHOWN) this.#list.firstChild.remove();
    if (was_at_end) this.#list.scrollTop = this.#list.scrollHeight;
    this.#count();
  }

  #count() {
    byId("frames-shown").textContent = t("frames_shown", { shown: this.#list.childElementCount, total: this.#entries.length });
  }

  /** As `python -m app replay` reads it. */
  #lines() {
    return this.#fitting().map(({ at_ms, direction, frame }) => `${JSON.stringify({ at_ms, direction, frame })}\n`).join("");
  }
}

function row({ at_ms, direction, frame, size }) {
  const { type, session_id, seq, ...rest } = frame;
  const arrow = direction === "out" ? "↑" : "↓";
  const summary = make(
    "summary",
    {},
    make("span", { class: "when" }, `${(at_ms / 1000).toFixed(3)}`),
    make("span", { class: "arrow", role: "img", "aria-label": direction }, arrow),
    make("span", { class: "kind" }, type),
    make("span", { class: "gist", dir: "auto" }, gist(rest)),
    make("span", { class: "size" }, `${size} B`),
  );
  const details = make("details", {}, summary);
  // Most are never opened.
  details.addEventListener(
    "toggle",
    () => details.append(make("pre", { tabIndex: 0 }, JSON.stringify(frame, null, 2))),
    { once: true },
  );
  return make("li", { class: direction }, details);
}

const gist = ({ stage, action, code, text, content, final, received_type, message }) =>
  stage ?? action ?? code ?? text ?? (content || (final ? "final" : received_type ?? message ?? ""));
