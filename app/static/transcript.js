/** The transcript: what was said, what became of it, and why. */

import { atEnd, byId, make } from "./dom.js";
import { coded, codesOf, lookedUp, sentence, sign } from "./explain.js";
import { duration, knows, t } from "./i18n.js";

const MOST_LINES = 500;

/** @typedef {{element: HTMLElement, text: string, at: number, is_asked: boolean, is_acked: boolean}} Line */

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
  #said = 0;

  /** A chunk went out. */
  sent(chunk) {
    this.#take(chunk, false);
  }

  /** A chunk stays here until there is a connection. */
  held(chunk) {
    this.#take(chunk, true);
  }

  /** The connection is gone: nobody knows whether the newest lines have arrived. */
  hold() {
    for (const line of this.#lines) if (!line.is_acked && !line.element.dataset.kind) this.#hold(line, true);
  }

  #take(chunk, is_held) {
    byId("lines-empty").hidden = true;
    byId("legend").hidden = false;
    atEnd(this.#scroller, () => {
      if (!chunk.is_final) return this.#partial(chunk, is_held);
      const line = this.#final(chunk);
      if (line) this.#hold(line, is_held);
    });
  }

  /** A chunk was received by the service: what it says next is about this one. */
  acked(id) {
    const line = this.#known.get(id);
    this.#judged = line ?? this.#judged;
    if (!line) return;
    line.is_acked = true;
    this.#hold(line, false);
  }

  /** A chunk was refused by the service. @returns {boolean} whether it is one of these */
  refused(id, code, message) {
    const line = this.#known.get(id);
    if (line) this.#explain(line, "given_up", lookedUp(sentence(code, message), code, "messages"));
    return Boolean(line);
  }

  /** A final that the client gives up: nobody knows whether it was heard. */
  lost(chunk) {
    byId("lines-empty").hidden = true;
    atEnd(this.#scroller, () => {
      const line = this.#final(chunk);
      if (!line) return;
      this.#hold(line, false);
      this.#explain(line, "given_up", t("reason.given_up"));
    });
  }

  /** Say what became of the last line. @returns {Line | undefined} that line */
  status(frame) {
    return atEnd(this.#scroller, () => this.#status(frame));
  }

  #status(frame) {
    if (frame.reason === "stale_partial") this.#settle();
    let line = this.#judged;
    let { reason } = frame;
    if (reason === "answer_in_progress" && !frame.question) reason = "ignored";
    if (frame.stage === "paused" && frame.question) {
      // It is about what was heard before the pause.
      reason = "waits_for_resume";
      line = this.#lines.findLast(({ element }) => element.dataset.kind === "may_continue") ?? line;
    }
    if (!line || line.is_asked) return undefined;
    if (!knows(`reason.${reason}`)) return line;
    const { verdict } = frame;
    const words = t(`reason.${reason}`, { wait: duration(verdict?.wait_ms) });
    if (!verdict) this.#explain(line, reason, words);
    else if (reason === "not_a_question")
      this.#explain(line, reason, coded(t("because", { words, sign: sign(verdict, line.text) }), codesOf(verdict)));
    else this.#explain(line, reason, coded(words, codesOf(verdict)));
    return line;
  }

  /** These will not be asked. @param {Line[]} lines @param {string} why */
  drop(lines, why) {
    for (const line of lines) if (!line.is_asked) this.#explain(line, "dropped", t("because", { words: t("not_asked"), sign: why }));
  }

  /** What waited for more is not waited for any longer. @param {string} why */
  dropWaits(why) {
    this.drop(this.#lines.filter(({ element }) => element.dataset.kind === "may_continue"), why);
  }

  /**
   * Mark what became this question.
   * @returns {Line | undefined} with its last words
   */
  asked(frame) {
    return atEnd(this.#scroller, () => this.#asked(frame));
  }

  #asked(frame) {
    if (frame.reason === "stale_partial") this.#settle();
    const question = plain(frame.question ?? "");
    if (!question) return undefined;
    let last;
    for (const line of this.#lines.filter((each) => !each.is_asked).reverse()) {
      const text = plain(line.text);
      if (!text || !(question.includes(text) || text.includes(question))) continue;
      line.is_asked = true;
      this.#mark(line, question, last === undefined ? "" : "before");
      const link = make("a", { href: `#${cardId(frame.query_id)}` }, t("reason.asked"));
      if (last === undefined) this.#explain(line, "asked", link);
      last ??= line;
    }
    return last;
  }

  /** What was said so far is forgotten by the service; what has not arrived yet is said after that. */
  divide(words) {
    this.#partials.forEach(({ element }) => element.remove());
    this.#partials.clear();
    const goes_on = this.#lines.filter((line) => !line.is_asked && !line.is_acked && !line.element.dataset.kind);
    for (const line of this.#lines) line.is_asked = !goes_on.includes(line);
    for (const [key, line] of this.#known) if (line.is_asked) this.#known.delete(key);
    this.#judged = undefined;
    if (!this.#lines.length) return;
    const divider = make("li", { class: "divider" }, words);
    atEnd(this.#scroller, () => this.#list.append(divider, ...goes_on.map(({ element }) => element)));
  }

  #partial({ text, speaker = "" }, is_held) {
    const { element } = this.#partials.get(speaker) ?? { element: make("li", {}, make("p", { class: "said", dir: "auto" })) };
    element.className = is_held ? "line partial held" : "line partial";
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
    let line = this.#known.get(id) ?? this.#known.get(segment);
    if (!line) {
      const said = make("p", { class: "said", dir: "auto" });
      line = { element: make("li", { class: "line" }, said, make("p", { class: "why" })), is_asked: false, is_acked: false };
      this.#list.append(line.element);
      this.#lines.push(line);
      byId("line-count").textContent = ++this.#said;
      this.#trim();
    }
    Object.assign(line, { text, at: performance.now() });
    if (!line.is_asked) line.element.firstChild.replaceChildren(...nameOf(speaker), make("span", {}, text));
    if (segment) this.#known.set(segment, line);
    if (id) this.#known.set(id, line);
    return line;
  }

  #hold(line, is_held) {
    if (line.is_asked || line.element.classList.contains("held") === is_held) return;
    line.element.classList.toggle("held", is_held);
    line.element.lastChild.textContent = is_held ? t("held") : "";
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

  #explain(line, kind, ...words) {
    line.element.dataset.kind = kind;
    line.element.lastChild.replaceChildren(...words);
  }
}

/** @param {string} query_id */
export const cardId = (query_id) => `question-${query_id.replace(/[^\w-]/g, "_")}`;

const plain = (text) => text.trim().replace(/\s+/g, " ");

const nameOf = (speaker) => (speaker ? [make("b", { class: "speaker", dir: "auto" }, speaker), " "] : []);
