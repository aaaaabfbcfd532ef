/** Codes in words: why a text was taken for a question or not, and what went wrong. */

import { make } from "./dom.js";
import { knows, sentenceOf, t } from "./i18n.js";

/** @typedef {{is_question: boolean, confidence: number, reason: string, language: string}} Verdict */

/** Words with their code, for who wants to look it up. @param {string} words @param {string} code */
export const coded = (words, code) => make("span", { class: "coded", title: code }, words);

/** Words that lead to what the guide says of a code. @param {"messages" | "answers"} kind @param {string} [title] */
export const lookedUp = (words, code, kind, title = code) => {
  const href = `guide/troubleshooting#codes-of-${kind}:${encodeURIComponent(code)}`;
  return make("a", { class: "coded", title, href, target: "_blank", rel: "noopener" }, words);
};

const QUESTION_WORDS =
  /(?<![\p{L}'])(?:what|who|whom|whose|which|when|where|why|how|was|wer|wen|wem|wessen|welche[rsnm]?|wann|wo|wohin|woher|warum|wieso|weshalb|wie|wieviel|qui|que|quoi|quel(?:le)?s?|quand|où|pourquoi|comment|combien|qué|quién(?:es)?|cuál(?:es)?|cuándo|dónde|adónde|cómo|cuánt[oa]s?|chi|che|cosa|quale|quali|quando|dove|perché|come|quant[oaie])(?![\p{L}])|什么|为什么|怎么样|怎么|怎样|哪里|哪儿|哪|谁|何时|多少|几/iu;

/** What showed that it asks, or that it does not. @param {Verdict} verdict @param {string} text */
export function sign(verdict, text) {
  const [word] = verdict.reason === "wh_front" || verdict.reason === "wh_word" ? (text.match(QUESTION_WORDS) ?? []) : [];
  const key = `verdict.${verdict.reason}`;
  return word ? t(`${key}.named`, { word }) : knows(key) ? t(key) : verdict.reason;
}

/** "wh_front · 90 % · en" @param {Verdict} verdict */
export const codesOf = ({ reason, confidence, language }) => `${reason} · ${Math.round(confidence * 100)} % · ${language}`;

/** A code as a clause. @param {string} code @param {string} [otherwise] */
export const clause = (code, otherwise = code) => (knows(`code.${code}`) ? t(`code.${code}`) : otherwise);

/** A code as a sentence. */
export function sentence(code, otherwise = code) {
  return knows(`code.${code}`) ? sentenceOf(clause(code)) : otherwise;
}
