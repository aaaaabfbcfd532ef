/** Colours of code: each language comes when it is met. */

import highlight from "./vendor/highlight.core.min.js";
import "./vendor/purify.min.js";

const MOST_CHARS = 10_000;
// Words without an end take their expressions the square of their length.
const LONG_LINE = /.{1000}/;
const NAMES = "bash c cpp csharp css diff dockerfile go ini java javascript json php python rust sql typescript xml yaml".split(" ");
const ALIASES = { sh: "bash", shell: "bash", console: "bash", zsh: "bash", "c++": "cpp", cs: "csharp", "c#": "csharp", patch: "diff", docker: "dockerfile", golang: "go", toml: "ini", env: "ini", js: "javascript", jsx: "javascript", mjs: "javascript", jsonc: "json", jsonl: "json", py: "python", rs: "rust", ts: "typescript", tsx: "typescript", html: "xml", svg: "xml", yml: "yaml" };

const SPANS = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };

/** @param {HTMLElement} code with the class that Markdown gives it */
export async function colour(code) {
  const name = /^language-(\S+)/.exec(code.className)?.[1].toLowerCase();
  const language = ALIASES[name] ?? name;
  const text = code.textContent;
  if (!NAMES.includes(language) || text.length > MOST_CHARS || LONG_LINE.test(text)) return;
  if (!highlight.getLanguage(language)) {
    const grammar = await import(`./vendor/highlight.${language}.min.js`).catch(() => undefined);
    if (!grammar) return;
    highlight.registerLanguage(language, grammar.default);
  }
  const { value } = highlight.highlight(text, { language, ignoreIllegals: true });
  code.replaceChildren(globalThis.DOMPurify.sanitize(value, SPANS));
}
