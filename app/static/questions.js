/** The questions: for each one when what happened, the answer as it grows, its sources, and what went wrong. */

import { addTo } from "./client.js";
import { atEnd, byId, copy, make } from "./dom.js";
import { duration, knows, t } from "./i18n.js";
import { MarkdownView } from "./markdown.js";
import { cardId, describe } from "./transcript.js";

const STEPS = ["heard", "recognised", "asked", "first_text", "done"];
const MOST_CARDS = 200;
// 24 hours: “PM” has no room on a phone.
const clock = new Intl.DateTimeFormat([], { timeStyle: "medium", hourCycle: "h23" });

export class Questions {
  #scroller = byId("answers");
  #list = byId("cards");
  /** @type {Map<string, Card>} */
  #cards = new Map();
  #ask;

  /** @param {(question: string) => void} ask how a question is asked again */
  constructor(ask) {
    this.#ask = ask;
  }

  /** @param {number | undefined} heard when its last words went out, as `performance.now()` */
  begin(frame, heard) {
    byId("welcome").hidden = true;
    this.wait(undefined);
    const grow = (change) => atEnd(this.#scroller, change);
    // What the page before a reload was shown: when it was heard is not known here.
    const card = new Card(frame, frame.kept ? undefined : (heard ?? performance.now()), this.#ask, grow);
    this.#cards.set(frame.query_id, card);
    this.#list.append(card.element);
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    if (this.#cards.size > MOST_CARDS) this.#drop(this.#cards.keys().next().value);
  }

  querying(frame) {
    this.#on(frame.query_id, (card) => card.querying(frame));
  }

  answer(frame) {
    this.#on(frame.query_id, (card) => card.answer(frame));
  }

  interrupted({ query_id, reason }) {
    this.#on(query_id, (card) => card.end(reason));
  }

  /** The session is gone: what ran in it will not go on. */
  lost(reason) {
    this.wait(undefined);
    for (const card of this.#cards.values()) card.end(reason);
  }

  /** @param {string | undefined} question that is asked after the running answer */
  wait(question) {
    byId("next").hidden = question === undefined;
    byId("next-question").textContent = question ?? "";
  }

  #on(query_id, change) {
    const card = this.#cards.get(query_id);
    if (card) atEnd(this.#scroller, () => change(card));
  }

  #drop(query_id) {
    this.#cards.get(query_id).element.remove();
    this.#cards.delete(query_id);
  }
}

class Card {
  #question;
  #ask;
  #heard;
  #text = "";
  #is_over = false;
  #steps = {};
  #note = make("p", { class: "note", dir: "auto" });
  #body = make("div", { class: "answer", dir: "auto" });
  #after = make("div", { class: "after" });
  #view;

  constructor(frame, heard, ask, grow) {
    this.#view = new MarkdownView(this.#body, grow);
    this.#question = frame.question;
    this.#ask = ask;
    this.#heard = heard;
    const id = cardId(frame.query_id);
    const why = frame.mode === "instant" ? t("instant") : frame.verdict ? describe(frame.verdict) : "";
    const steps = STEPS.map((name) => {
      this.#steps[name] = make("span", { class: "at" });
      return make("li", { "data-step": name }, make("span", { class: "step" }, t(name)), this.#steps[name]);
    });
    this.element = make(
      "article",
      { id, class: "card running", "aria-labelledby": `${id}-q`, tabIndex: -1 },
      make("h3", { id: `${id}-q`, dir: "auto" }, frame.question),
      ...(why ? [make("p", { class: "why" }, why)] : []),
      make("ol", { class: "steps" }, ...steps),
      this.#note,
      this.#body,
      this.#after,
    );
    this.#reach("heard", heard);
    this.#reach("recognised");
  }

  #reach(name, at = performance.now()) {
    const step = this.#steps[name];
    if (step.textContent) return;
    step.textContent = this.#at(name, at);
    this.element.querySelector('[aria-current="step"]')?.removeAttribute("aria-current");
    const item = step.parentElement;
    item.classList.add("reached");
    if (name !== "done") item.setAttribute("aria-current", "step");
  }

  #at(name, at) {
    if (this.#heard === undefined) return duration(undefined);
    return name === "heard" ? clock.format(new Date()) : `+${duration(at - this.#heard)}`;
  }

  querying(frame) {
    this.#reach("asked");
    this.#note.textContent = frame.reason === "progress" ? frame.note : t("stage.querying_rag");
  }

  answer(frame) {
    if (this.#is_over) return;
    if (frame.error) return this.#failed(frame);
    if (frame.content) this.#reach("first_text");
    this.#text = addTo(this.#text, frame);
    this.#note.textContent = "";
    this.#view.show(this.#text);
    if (frame.final) this.#finished(frame);
  }

  /** It ended without a final answer. */
  end(reason) {
    if (this.#is_over) return;
    this.#over("interrupted");
    const words = knows(`reason.${reason}`) ? t(`reason.${reason}`) : t("stage.interrupting");
    this.#after.append(make("p", { class: "notice" }, words));
  }

  #over(kind) {
    this.#is_over = true;
    this.element.classList.replace("running", kind);
    this.element.querySelector('[aria-current="step"]')?.removeAttribute("aria-current");
    this.#note.textContent = "";
    this.#view.finish();
  }

  #finished(frame) {
    this.#reach("done");
    this.#over("answered");
    if (frame.incomplete) this.#after.append(make("p", { class: "notice" }, t("incomplete")));
    if (frame.sources?.length) this.#after.append(sourcesOf(frame.sources));
    this.#after.append(this.#footer(frame, [this.#copyButton()]));
    announce(t("answer_ready", { text: this.#body.textContent.slice(0, 400) }));
  }

  /** Some text may stand there already: it stays, and the failure is told after it. */
  #failed(frame) {
    this.#reach("done");
    this.#over("failed");
    if (frame.incomplete) this.#after.append(make("p", { class: "notice" }, t("incomplete")));
    const { code, phase, retryable } = frame.error;
    const message = frame.content || t("failed");
    this.#after.append(
      make("div", { class: "failure", role: "alert" }, make("p", { dir: "auto" }, message), make("code", {}, phase ? `${code} · ${phase}` : code)),
      this.#footer(frame, retryable ? [this.#retryButton()] : []),
    );
  }

  #footer(frame, buttons) {
    const { wait_ms, first_text_ms, total_ms } = frame.timing;
    const facts = [
      t("measured", { wait: duration(wait_ms), first: duration(first_text_ms), total: duration(total_ms) }),
      ...(frame.usage?.total_tokens ? [t("tokens", { count: frame.usage.total_tokens })] : []),
      ...(frame.provider ? [t("answered_by", { provider: frame.provider })] : []),
    ];
    return make("footer", {}, make("p", { class: "facts" }, facts.join(" · ")), ...buttons);
  }

  #copyButton() {
    const button = make("button", { type: "button", class: "quiet" }, t("copy"));
    button.onclick = () => copy(this.#text, button, t("copied"));
    return button;
  }

  #retryButton() {
    const button = make("button", { type: "button", class: "primary retry" }, t("retry"));
    button.onclick = () => {
      button.disabled = true;
      button.textContent = t("retrying");
      this.#ask(this.#question);
    };
    return button;
  }
}

function sourcesOf(sources) {
  const notes = sources.map(({ position, title, source, score, snippet }) => {
    const name = make("span", { class: "title", dir: "auto" }, title || source);
    const place = [title ? source : "", typeof score === "number" ? t("score", { score: score.toFixed(2) }) : ""];
    const head = [name, make("span", { class: "place", dir: "auto" }, place.filter(Boolean).join(" · "))];
    const note = snippet
      ? make("details", {}, make("summary", {}, ...head), make("blockquote", { dir: "auto" }, snippet))
      : make("div", { class: "plain" }, ...head);
    return make("li", { value: position }, note);
  });
  return make("section", { class: "sources" }, make("h4", {}, t("sources")), make("ol", {}, ...notes));
}

const announce = (text) => (byId("announce").textContent = text);
