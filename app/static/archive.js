/** The last sessions: beside each other, opened, exported, deleted. */

import { download, make } from "./dom.js";
import { clause } from "./explain.js";
import { duration, t } from "./i18n.js";
import { MarkdownView } from "./markdown.js";
import { paceOf } from "./pace.js";

/** @typedef {import("./sessions.js").Session} Session @typedef {import("./sessions.js").Asked} Asked */

const SHARES = ["p50", "p95", "p50", "p95"];
const when = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });

/** @param {Session} session @returns {string[]} p50 and p95 of the first text, and of all */
const timesOf = ({ questions }) => {
  const known = questions.filter(({ total_ms }) => total_ms !== undefined);
  return paceOf(known.map(({ first_text_ms, total_ms }) => ({ first: first_text_ms, total: total_ms }))).flat();
};

/** @param {Asked} asked */
const factsOf = ({ error, first_text_ms, total_ms }) => [
  ...(error ? [clause(error)] : []),
  ...(total_ms === undefined ? [] : [`${t("first_text")} ${duration(first_text_ms)}`, t("total", { total: duration(total_ms) })]),
];

/** In one line, and nothing but words: what was said is no Markdown, an answer is. @param {string} text */
const plain = (text) => text.trim().replace(/\s+/g, " ").replace(/[\\`*_[\]<>~|#&]/g, "\\$&");

/** @param {Session} session */
function asMarkdown(session) {
  const talk = session.talk.map(({ speaker, text }) => `- ${speaker ? `**${plain(speaker)}**: ` : ""}${plain(text)}`);
  const questions = session.questions.flatMap((asked) => [
    `## ${plain(asked.question)}`,
    ...(asked.answer ? [asked.answer.trim()] : []),
    ...(asked.sources.length ? [asked.sources.map(({ title, source }, i) => `${i + 1}. ${[title, source].filter(Boolean).map(plain).join(" · ")}`).join("\n")] : []),
    `*${factsOf(asked).join(" · ")}*`,
  ]);
  return `${[`# ${t("session_of", { when: when.format(new Date(session.begun)) })}`, talk.join("\n"), ...questions].filter(Boolean).join("\n\n")}\n`;
}

export class Archive {
  #sessions;
  #rows = make("tbody");
  #opened = make("section", { class: "opened", "aria-live": "polite" });
  #delete_all = make("button", { type: "button", class: "quiet" }, t("delete_all"));
  #dialog;

  /** @param {import("./sessions.js").Sessions} sessions */
  constructor(sessions) {
    this.#sessions = sessions;
    const wish = make("input", { type: "checkbox", checked: sessions.is_kept });
    wish.onchange = () => {
      sessions.is_kept = wish.checked;
      this.#show();
    };
    const close = make("button", { type: "button", class: "primary" }, t("dismiss"));
    close.onclick = () => this.#dialog.close();
    this.#delete_all.onclick = () => {
      sessions.former.forEach((each) => sessions.delete(each));
      this.#opened.replaceChildren();
      this.#show();
    };
    const head = (key, span) => make("th", { scope: "colgroup", colSpan: span }, t(key));
    const shares = SHARES.map((share) => make("th", { scope: "col" }, share));
    const table = make(
      "table",
      {},
      make("thead", {}, make("tr", {}, make("td"), make("td"), head("first_text", 2), head("total_time", 2), make("td")), make("tr", {}, make("th", { scope: "col" }, t("sessions")), make("th", { scope: "col" }, t("asked_count")), ...shares, make("td"))),
      this.#rows,
    );
    this.#dialog = make(
      "dialog",
      { id: "archive", "aria-labelledby": "archive-title" },
      make("h2", { id: "archive-title" }, t("sessions")),
      make("label", { class: "inline" }, wish, make("span", {}, t("keep_sessions"))),
      make("p", { class: "hint" }, t("keep_sessions_hint")),
      make("div", { class: "wide", tabIndex: 0 }, table),
      this.#opened,
      make("div", { class: "buttons" }, this.#delete_all, close),
    );
    document.body.append(this.#dialog);
  }

  open() {
    this.#opened.replaceChildren();
    this.#show();
    this.#dialog.showModal();
  }

  #show() {
    const { current, former } = this.#sessions;
    this.#rows.replaceChildren(...[current, ...former].map((session) => this.#row(session, session === current)));
    this.#delete_all.hidden = !former.length;
  }

  /** @param {Session} session */
  #row(session, is_current) {
    const name = is_current ? t("this_session") : when.format(new Date(session.begun));
    const button = (words, act) => {
      const made = make("button", { type: "button", class: "quiet", "aria-label": `${words}: ${name}` }, words);
      made.onclick = act;
      return made;
    };
    const file = `session-${session.begun.slice(0, 16).replace(":", "-")}`;
    const acts = [
      button(t("open_session"), () => this.#open(session, name)),
      button("Markdown", () => download(`${file}.md`, asMarkdown(session), "text/markdown")),
      button("JSON", () => download(`${file}.json`, `${JSON.stringify(session, null, 2)}\n`, "application/json")),
    ];
    const remove = () => {
      this.#sessions.delete(session);
      this.#opened.replaceChildren();
      this.#show();
    };
    if (!is_current) acts.push(button(t("delete"), remove));
    const labels = [t("asked_count"), ...SHARES.map((share, i) => `${t(i < 2 ? "first_text" : "total_time")} ${share}`)];
    const first = make("span", { class: "hint", dir: "auto" }, session.questions[0]?.question ?? "");
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, name, first),
      ...[session.questions.length, ...timesOf(session)].map((value, i) => make("td", { "data-label": labels[i] }, String(value))),
      make("td", { class: "acts" }, ...acts),
    );
  }

  #open(session, name) {
    const shown = session.questions.map((asked) => {
      const body = make("div", { class: "answer", dir: "auto" });
      const view = new MarkdownView(body);
      view.show(asked.answer);
      view.finish();
      return make("details", {}, make("summary", { dir: "auto" }, asked.question), body, make("p", { class: "facts" }, factsOf(asked).join(" · ")));
    });
    const talk = session.talk.map(({ speaker, text }) => make("li", { dir: "auto" }, ...(speaker ? [make("b", {}, `${speaker}: `)] : []), text));
    this.#opened.replaceChildren(
      make("h3", {}, name),
      ...(talk.length ? [make("details", {}, make("summary", {}, t("transcript")), make("ul", {}, ...talk))] : []),
      ...shown,
    );
  }
}
