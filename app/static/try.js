/** Try a sentence: what the service makes of it, where it has its pages for that. */

import { byId, make } from "./dom.js";
import { codesOf, coded, sign } from "./explain.js";
import { t } from "./i18n.js";

/** The text with its questions marked: places count code points. */
function marked(text, questions) {
  const letters = [...text];
  const parts = [];
  let at = 0;
  for (const { start, end, rule } of questions) {
    parts.push(letters.slice(at, start).join(""), make("mark", { title: rule }, letters.slice(start, end).join("")));
    at = end;
  }
  return [...parts, letters.slice(at).join("")];
}

function told(text, verdict) {
  const words = verdict.is_question ? t("a_question") : t("reason.not_a_question");
  const code = [codesOf(verdict), verdict.rule].filter(Boolean).join(" · ");
  const why = coded(t("because", { words, sign: sign(verdict, verdict.questions[0]?.question ?? text) }), code);
  const shown = [make("p", { class: "said", dir: "auto" }, ...marked(text, verdict.questions)), make("p", {}, why), make("p", { class: "hint" }, code)];
  if (verdict.is_question) shown.push(make("p", {}, verdict.wait_ms ? t("try_wait", { ms: verdict.wait_ms }) : t("try_at_once")));
  return shown;
}

/** @param {() => string} token */
export function trySentences(token) {
  const place = byId("try");
  if (document.documentElement.dataset.debugPages !== "yes") return;
  const field = make("input", { type: "text", dir: "auto", "aria-label": t("try_hint"), placeholder: t("try_hint") });
  const outcome = make("div", { role: "status" });
  const form = make("form", { class: "try" }, field, make("button", { type: "submit" }, t("try_now")));
  let asked = 0;
  form.onsubmit = async (event) => {
    event.preventDefault();
    const text = field.value;
    const turn = ++asked;
    let shown;
    try {
      const headers = { "Content-Type": "application/json", ...(token() && { Authorization: `Bearer ${token()}` }) };
      const response = await fetch("debug/judge", { method: "POST", headers, body: JSON.stringify({ text }) });
      const body = await response.json();
      if (!response.ok) throw new Error(body.reason);
      shown = told(text, body);
    } catch (error) {
      shown = [make("p", { class: "problem" }, t("try_failed", { why: error.message }))];
    }
    if (turn === asked) outcome.replaceChildren(...shown);
  };
  place.append(make("summary", {}, t("try")), form, outcome);
  place.hidden = false;
}
