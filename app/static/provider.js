/** Who answers here, and whether they can. */

import { byId, make } from "./dom.js";
import { knows, sentenceOf, t } from "./i18n.js";

const LOOK_MS = 20_000;
/** While files are read, the share of them is news. */
const INDEXING_MS = 1500;

export class Provider {
  is_ready = true;
  /** Of answers that a fallback has not given. */
  takes_feedback = false;
  #changed;
  #tell;
  #timer = 0;
  #looks = 0;
  #box = byId("provider");

  /** @param {() => void} changed @param {(words: string, ms?: number) => void} tell */
  constructor(changed, tell) {
    this.#changed = changed;
    this.#tell = tell;
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
  }

  /** See how things are, now and from time to time. */
  async look() {
    clearTimeout(this.#timer);
    const number = ++this.#looks;
    let health;
    try {
      health = await (await fetch("health")).json();
      const knowledge = await knowledgeOf(health);
      if (number === this.#looks) this.#show(health, knowledge);
    } catch (problem) {
      // Without a connection there is nothing to see.
      if (!(problem instanceof TypeError)) throw problem;
    }
    // What was asked for before something happened is no news after it.
    if (number !== this.#looks) return;
    // Without a connection, the next one will look.
    if (!document.hidden && document.body.dataset.state === "open") this.#timer = setTimeout(() => this.look(), health?.not_ready === "indexing" ? INDEXING_MS : LOOK_MS);
  }

  #show(health, knowledge) {
    const { provider, fallback, dify_configured, not_ready, left_alone, version } = health;
    this.takes_feedback = provider === "dify";
    const is_keyless = provider === "dify" && !dify_configured;
    const answers = (is_keyless && fallback) || provider;
    const reason = not_ready ?? (left_alone && !fallback ? "left_alone" : undefined);
    const key = `ready.${reason ?? (left_alone ? "left_alone" : "ok")}`;
    const state = knows(key) ? t(key, { percent: Math.round((knowledge?.share ?? 0) * 100) }) : reason;
    // Of kinds that nobody reads there is nothing to say: a folder may hold pictures.
    const unread = (knowledge?.not_read ?? []).filter((each) => each.reason).slice(0, 5);
    const list = unread.map(({ files, kind, reason: why }) => `${files} ${kind}: ${why}`).join(", ");
    const short = [answers, reason ? state : knowledge && t(knowledge.files === 1 ? "file" : "files", knowledge), list && t("not_read", { list })];
    byId("about").textContent = short.filter(Boolean).join(" · ");
    this.#box.dataset.state = reason || left_alone ? "not-ready" : "ready";
    const facts = {
      answers: answers === provider ? provider : t("fact.instead", { fallback, provider }),
      state,
      fallback: answers === fallback ? "" : fallback,
      files: knowledge && t("passages", knowledge),
      not_read: list,
      version,
    };
    const rows = Object.entries(facts).filter(([, value]) => value);
    byId("provider-facts").replaceChildren(
      ...rows.flatMap(([name, value]) => [make("dt", {}, t(`fact.${name}`)), make("dd", {}, value)]),
    );
    const is_empty = not_ready === "knowledge_empty" || (is_keyless && !fallback);
    this.#showExamples(is_empty ? "none" : answers === "local" ? document.documentElement.dataset.folder : "any", knowledge, reason && sentenceOf(state));
    if (is_keyless && !fallback && this.is_ready) this.#tell(t("no_key"), 0);
    this.is_ready = !reason;
    this.#changed();
  }

  /** Questions that this provider can answer, or why it answers none. @param {string} kind */
  #showExamples(kind, knowledge, problem) {
    const has_examples = knows(`examples.${kind}.1`);
    byId("examples").hidden = !has_examples;
    byId("examples-about").textContent =
      problem || (has_examples ? t("try_asking") : kind === "other" && knowledge?.files ? t("ask_files", knowledge) : "");
    if (!has_examples) return;
    for (const [i, button] of [...document.querySelectorAll(".example")].entries()) button.textContent = t(`examples.${kind}.${i + 1}`);
  }
}

/** What is known of the folder, if there is one. */
async function knowledgeOf({ provider, fallback }) {
  if (![provider, fallback].some((name) => name === "local" || name === "openai")) return undefined;
  return (await (await fetch("health/ready")).json()).knowledge;
}
