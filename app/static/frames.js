/** The drawer that shows every frame, either way. */

import { atEnd, byId, copy, download, make } from "./dom.js";
import { t } from "./i18n.js";

const MOST_KEPT = 5000;
const MOST_SHOWN = 300;

/** @typedef {{at_ms: number, direction: "in" | "out", frame: any, size: number}} Entry */

export class Frames {
  /** @type {Entry[]} */
  #entries = [];
  #begun = 0;
  #drawer = byId("drawer");
  #list = byId("frames");
  #filter = byId("filter");
  #toggle = byId("toggle-frames");

  constructor() {
    this.#toggle.onclick = () => this.#open(this.#drawer.hidden);
    byId("close-frames").onclick = () => this.#open(false);
    this.#drawer.onkeydown = (event) => event.key === "Escape" && this.#open(false);
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
    byId("frame-count").textContent = this.#entries.length;
    if (!this.#drawer.hidden && this.#fits(entry)) this.#append(entry);
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
    this.#list.replaceChildren();
    this.#fitting().slice(-MOST_SHOWN).forEach((entry) => this.#list.append(row(entry)));
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#count();
  }

  #append(entry) {
    atEnd(this.#list, () => {
      this.#list.append(row(entry));
      if (this.#list.childElementCount > MOST_SHOWN) this.#list.firstChild.remove();
    });
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
