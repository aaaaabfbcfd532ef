/** The questions: for each one when what happened, the answer as it grows, its sources, and what went wrong. */

import { addTo } from "./client.js";
import { byId, copy, make } from "./dom.js";
import { clause, coded, codesOf, lookedUp, sentence, sign } from "./explain.js";
import { Follower } from "./follow.js";
import { duration, knows, t } from "./i18n.js";
import { MarkdownView } from "./markdown.js";
import { ratingOf } from "./rating.js";
import { cardId } from "./transcript.js";
import { Waterfall } from "./waterfall.js";

const MOST_CARDS = 200;
/** Of the former questions, as many are named where a short answer leaves room. */
const MOST_NAMED = 6;

export class Questions {
  #follower = new Follower();
  /** @type {Map<string, Card>} */
  #cards = new Map();
  #context;

  /**
   * @param {{ask: (question: string) => void, address: URL, measured: (timing: object, question: string) => void, rate: (query_id: string) => any}} context
   *   how a question is asked again, where, who wants to know how long it took, and how its answer is rated
   */
  constructor(context) {
    this.#context = context;
  }

  /** @param {{at: number, waits_at?: number}} [line] with its last words */
  begin(frame, line) {
    byId("welcome").hidden = true;
    const former = [...this.#cards.values()].at(-1);
    if (former) this.#name(former);
    const card = new Card(frame, line, this.#context);
    this.#cards.set(frame.query_id, card);
    byId("answer-count").textContent = this.#cards.size;
    this.#follower.add(card.element);
    if (this.#cards.size > MOST_CARDS) this.#drop(this.#cards.keys().next().value);
  }

  querying(frame) {
    this.#cards.get(frame.query_id)?.querying(frame);
  }

  answer(frame) {
    this.#cards.get(frame.query_id)?.answer(frame);
  }

  interrupted({ query_id, reason }) {
    this.#cards.get(query_id)?.end(reason);
  }

  /** The session is gone: what ran in it will not go on. */
  lost(reason) {
    for (const card of this.#cards.values()) card.end(reason);
  }

  /** Below the newest answer, for who points at it: the cards themselves are above. */
  #name({ element, question }) {
    const list = byId("earlier");
    list.hidden = false;
    const link = make("a", { href: `#${element.id}`, tabIndex: -1, dir: "auto" }, question);
    list.children[0].after(make("li", {}, link));
    if (list.childElementCount > MOST_NAMED + 1) list.lastElementChild.remove();
  }

  #drop(query_id) {
    this.#cards.get(query_id).element.remove();
    this.#cards.delete(query_id);
  }
}

class Card {
  #question;
  #context;
  #text = "";
  #is_over = false;
  /** When the service said that it asks, unless the page before this one was told. */
  #begun;
  #asked;
  #first_text;
  #waterfall = new Waterfall();
  #note = make("p", { class: "note", dir: "auto" });
  #body = make("div", { class: "answer", dir: "auto" });
  #after = make("div", { class: "after" });
  #view = new MarkdownView(this.#body);
  /** When all of the answer stands there. */
  #shown = Promise.resolve();

  constructor(frame, line, context) {
    this.#question = frame.question;
    this.#context = context;
    const id = cardId(frame.query_id);
    this.element = make(
      "article",
      { id, class: "card running", "aria-labelledby": `${id}-q`, tabIndex: -1 },
      make("h3", { id: `${id}-q`, dir: "auto" }, frame.question),
      ...whyOf(frame),
      ...this.#waterfall.elements,
      this.#note,
      this.#body,
      this.#after,
    );
    if (!frame.kept) this.#heard(frame, line);
  }

  #heard({ verdict }, line) {
    const now = (this.#begun = performance.now());
    const held = verdict?.wait_ms ?? 0;
    const { at = now, waits_at = now } = line ?? {};
    this.#waterfall.heard(now - at);
    this.#waterfall.reach("recognised", Math.max(0, waits_at - at - held));
    this.#waterfall.reach("waited", held + now - waits_at);
  }

  get question() {
    return this.#question;
  }

  querying(frame) {
    this.#note.textContent = frame.reason === "progress" ? frame.note : t("stage.querying_rag");
    if (this.#asked || !this.#begun) return;
    this.#asked = performance.now();
    this.#waterfall.reach("asked", this.#asked - this.#begun);
  }

  answer(frame) {
    if (this.#is_over) return;
    if (frame.error) return this.#failed(frame);
    if (frame.content && !this.#first_text && this.#begun) {
      this.#first_text = performance.now();
      this.#waterfall.reach("first_text", this.#first_text - this.#begun);
    }
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
    this.#waterfall.end();
    this.#note.textContent = "";
    this.#shown = this.#view.finish();
  }

  /** The service's own times stand for those that were taken here. */
  #measured(timing) {
    const { first_text_ms, total_ms } = timing;
    this.#context.measured(timing, this.#question);
    if (first_text_ms !== null) this.#waterfall.reach("first_text", first_text_ms);
    this.#waterfall.reach("done", total_ms - (first_text_ms ?? 0));
  }

  #finished(frame) {
    this.#measured(frame.timing);
    this.#over("answered");
    if (frame.incomplete) this.#after.append(make("p", { class: "notice" }, t("incomplete")));
    if (frame.sources?.length) this.#after.append(sourcesOf(frame.sources));
    const rate = !frame.provider && this.#context.rate(frame.query_id);
    this.#after.append(this.#footer(frame, [...(rate ? [ratingOf(rate)] : []), this.#copyButton(t("copy_python"), () => asPython(this.#context.address, this.#question)), this.#copyButton(t("copy"), () => this.#text)]));
    this.#shown.then(() => announce(t("answer_ready", { text: this.#body.textContent.slice(0, 400) })));
  }

  /** Some text may stand there already: it stays, and one sentence says that it breaks off, and why. */
  #failed(frame) {
    this.#measured(frame.timing);
    this.#over("failed");
    const { code, phase, retryable } = frame.error;
    const words = frame.incomplete
      ? t("breaks_off", { why: clause(code, t("failed")) })
      : sentence(code, frame.content || t("failed"));
    const problem = make("p", { dir: "auto" }, lookedUp(words, code, "answers", phase ? `${code} · ${phase}` : code));
    this.#after.append(
      make("div", { class: "failure", role: "alert" }, problem),
      this.#footer(frame, retryable ? [this.#retryButton()] : []),
    );
  }

  #footer(frame, buttons) {
    const facts = [
      t("total", { total: duration(frame.timing.total_ms) }),
      ...(frame.usage?.total_tokens ? [t("tokens", { count: frame.usage.total_tokens })] : []),
      ...(frame.provider ? [t("answered_by", { provider: frame.provider })] : []),
    ];
    return make("footer", {}, make("p", { class: "facts" }, facts.join(" · ")), make("span", {}, ...buttons));
  }

  /** @param {string} words @param {() => string} text */
  #copyButton(words, text) {
    const button = make("button", { type: "button", class: "quiet" }, words);
    button.onclick = () => copy(text(), button, t("copied"));
    return button;
  }

  #retryButton() {
    const button = make("button", { type: "button", class: "primary retry" }, t("retry"));
    button.onclick = () => {
      button.disabled = true;
      button.textContent = t("retrying");
      this.#context.ask(this.#question);
    };
    return button;
  }
}

function whyOf({ mode, verdict, question, repeats }) {
  const why = [];
  if (mode === "instant") why.push(t("instant"));
  else if (verdict) why.push(coded(t("because", { words: t("a_question"), sign: sign(verdict, question) }), codesOf(verdict)));
  if (repeats) why.push(make("a", { href: `#${cardId(repeats)}` }, t("repeats")));
  return why.length ? [make("p", { class: "why" }, ...why.flatMap((each, i) => (i ? [" · ", each] : [each])))] : [];
}

/** A program that asks this question, for who has a token to put it in. @param {URL} address @param {string} question */
function asPython(address, question) {
  const message = JSON.stringify({ type: "control", action: "instant_query", text: question });
  return `import asyncio, json
from websockets.asyncio.client import connect  # pip install websockets

async def main() -> None:
    async with connect(${JSON.stringify(address.href)}) as socket:  # with tokens: additional_headers={"Authorization": "Bearer ..."}
        await socket.send(${JSON.stringify(message)})
        async for message in socket:
            frame = json.loads(message)
            if frame["type"] == "answer":
                print(frame["content"], end="", flush=True)
                if frame["final"]:
                    return

asyncio.run(main())
`;
}

function sourcesOf(sources) {
  const notes = sources.map((source) => make("li", { value: source.position }, ...noteOf(source)));
  return make("section", { class: "sources" }, make("h4", {}, t("sources")), make("ol", {}, ...notes));
}

function noteOf({ title, source, score, snippet }) {
  const address = [source, title].find(isAddress);
  const name = title || source;
  const place = [
    source && source !== name ? source : "",
    typeof score === "number" ? t("score", { score: score.toFixed(2) }) : "",
  ];
  const rest = make("span", { class: "place", dir: "auto" }, place.filter(Boolean).join(" · "));
  const quote = snippet && make("blockquote", { dir: "auto" }, snippet);
  if (!address) {
    const head = [make("span", { class: "title", dir: "auto" }, name), " ", rest];
    return quote ? [make("details", {}, make("summary", {}, ...head), quote)] : head;
  }
  const link = make("a", { class: "title", dir: "auto", href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, name);
  return [link, " ", rest, ...(quote ? [make("details", {}, make("summary", {}, t("passage")), quote)] : [])];
}

function isAddress(text) {
  if (!/^https?:\/\//i.test(text ?? "")) return false;
  return URL.canParse(text);
}

const announce = (text) => (byId("announce").textContent = text);
