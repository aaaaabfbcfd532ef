/** The transcript: what was said, what became of it, and why. */

import { atEnd, byId, make } from "./dom.js";
import { duration, knows, t } from "./i18n.js";

const MOST_LINES = 500;

/** @typedef {{element: HTMLElement, text: string, at: number, is_asked: boolean}} Line */

export class Transcript {
  #scroller = byId("heard");
  #list = byId("lines");
  /** @type {Line[]} */
  #lines = [];
  /** Lines by the id of their message and by their segment. @type {Map<string, Line>} */
  #known = new Map();
  /** What each speaker is saying right now. @type {Map<string, {element: HTMLElement, text: string}>} */
  #partials = new Map();
  /** @type {Line | undefined} */
  #judged;

  /** A chunk went out. */
  sent(chunk) {
    byId("lines-empty").hidden = true;
    atEnd(this.#scroller, () => (chunk.is_final ? this.#final(chunk) : this.#partial(chunk)));
  }

  /** A chunk was received by the service: what it says next is about this one. */
  acked(id) {
    this.#judged = this.#known.get(id) ?? this.#judged;
  }

  /** A final that the client gives up: nobody knows whether it was heard. */
  lost(chunk) {
    byId("lines-empty").hidden = true;
    atEnd(this.#scroller, () => {
      const line = this.#final(chunk);
      if (line) this.#explain(line, "given_up", t("reason.given_up"));
    });
  }

  /** Say what became of the last line. */
  status(frame) {
    atEnd(this.#scroller, () => this.#status(frame));
  }

  #status(frame) {
    if (frame.reason === "stale_partial") this.#settle();
    const line = this.#judged;
    if (!line || line.is_asked) return;
    const reason = frame.reason === "answer_in_progress" && !frame.question ? "ignored" : frame.reason;
    if (!knows(`reason.${reason}`)) return;
    const wait = duration(frame.verdict?.wait_ms);
    this.#explain(line, reason, t(`reason.${reason}`, { wait }), frame.verdict);
  }

  /**
   * Mark what became this question.
   * @returns {number | undefined} when its last words went out, as `performance.now()`
   */
  asked(frame) {
    return atEnd(this.#scroller, () => this.#asked(frame));
  }

  #asked(frame) {
    if (frame.reason === "stale_partial") this.#settle();
    const question = plain(frame.question ?? "");
    if (!question) return undefined;
    let heard;
    for (const line of this.#lines.filter((each) => !each.is_asked).reverse()) {
      const text = plain(line.text);
      if (!text || !(question.includes(text) || text.includes(question))) continue;
      line.is_asked = true;
      this.#mark(line, question, heard === undefined ? "" : "before");
      if (heard === undefined) this.#explain(line, "asked", t("reason.asked"), frame.verdict, frame.query_id);
      heard ??= line.at;
    }
    return heard;
  }

  /** What was said so far is forgotten by the service. */
  divide(words) {
    this.#partials.forEach(({ element }) => element.remove());
    this.#partials.clear();
    this.#lines.forEach((line) => (line.is_asked = true));
    this.#known.clear();
    this.#judged = undefined;
    if (this.#lines.length) atEnd(this.#scroller, () => this.#list.append(make("li", { class: "divider" }, words)));
  }

  #partial({ text, speaker = "" }) {
    const { element } = this.#partials.get(speaker) ?? { element: make("li", {}, make("p", { class: "said", dir: "auto" })) };
    element.className = "line partial";
    this.#partials.set(speaker, { element, text });
    element.firstChild.replaceChildren(...nameOf(speaker), text);
    this.#list.append(element);
  }

  /** No final followed the oldest partial: the service took it as one. */
  #settle() {
    const [oldest] = this.#partials;
    if (oldest) this.#judged = this.#final({ speaker: oldest[0], text: oldest[1].text });
  }

  #final({ text, speaker = "", segment_id, id }) {
    this.#partials.get(speaker)?.element.remove();
    this.#partials.delete(speaker);
    if (!text.trim()) return undefined;
    const segment = segment_id === undefined ? undefined : `segment ${segment_id}`;
    // What a lost connection has swallowed is sent again, with the id that it had.
    let line = this.#known.get(segment) ?? this.#known.get(id);
    if (!line) {
      const said = make("p", { class: "said", dir: "auto" });
      line = { element: make("li", { class: "line" }, said, make("p", { class: "why" })), is_asked: false };
      this.#list.append(line.element);
      this.#lines.push(line);
      this.#trim();
    }
    Object.assign(line, { text, at: performance.now() });
    if (!line.is_asked) line.element.firstChild.replaceChildren(...nameOf(speaker), make("span", {}, text));
    if (segment) this.#known.set(segment, line);
    if (id) this.#known.set(id, line);
    return line;
  }

  #trim() {
    if (this.#lines.length <= MOST_LINES) return;
    const gone = this.#lines.shift();
    gone.element.remove();
    for (const [key, line] of this.#known) if (line === gone) this.#known.delete(key);
  }

  /** What only goes with the question is marked less. */
  #mark(line, question, kind) {
    const words = line.element.querySelector(".said > span");
    const start = plain(line.text) === line.text ? line.text.indexOf(question) : -1;
    if (start < 0) return words.replaceChildren(make("mark", { class: kind }, line.text));
    const end = start + question.length;
    words.replaceChildren(line.text.slice(0, start), make("mark", { class: kind }, question), line.text.slice(end));
  }

  #explain(line, kind, words, verdict, query_id) {
    const why = line.element.lastChild;
    line.element.dataset.kind = kind;
    why.replaceChildren(
      query_id ? make("a", { href: `#${cardId(query_id)}` }, words) : words,
      ...(verdict ? [" · ", describe(verdict)] : []),
    );
  }
}

/** @param {string} query_id */
export const cardId = (query_id) => `question-${query_id.replace(/[^\w-]/g, "_")}`;

/** "wh_front · 90 % sure · en" */
export const describe = (verdict) =>
  [verdict.reason, t("sure", { percent: Math.round(verdict.confidence * 100) }), verdict.language].join(" · ");

const plain = (text) => text.trim().replace(/\s+/g, " ");

const nameOf = (speaker) => (speaker ? [make("b", { class: "speaker", dir: "auto" }, speaker), " "] : []);
