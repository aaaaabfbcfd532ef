/** What answers have beyond the usual Markdown: details that fold, footnotes, and formulas. */

const MOST_LEVELS = 8;
const FOLD = /<(\/?)details(?: open)?>/gi;
const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** Where the details end that begin a text: a text that grows has no end yet. @returns {number | undefined} nothing if they are too deep */
function endOf(text) {
  let level = 0;
  for (const { index, 0: tag, 1: is_end } of text.matchAll(FOLD)) {
    level += is_end ? -1 : 1;
    if (!level) return index + tag.length;
    if (level > MOST_LEVELS) return undefined;
  }
  return text.length;
}

export const details = {
  name: "details",
  level: "block",
  tokenizer(text) {
    const opening = /^ {0,3}<details( open)?>\s*(?:<summary>([\s\S]{0,1000}?)<\/summary>)?/i.exec(text);
    const end = opening && endOf(text);
    if (!end) return undefined;
    const inner = text.slice(opening[0].length, end).replace(/<\/details>$/i, "");
    return {
      type: "details",
      raw: text.slice(0, end),
      open: opening[1] ?? "",
      summary: this.lexer.inlineTokens((opening[2] ?? "…").trim()),
      tokens: this.lexer.blockTokens(inner),
    };
  },
  renderer({ open, summary, tokens }) {
    return `<details${open}><summary>${this.parser.parseInline(summary)}</summary>${this.parser.parse(tokens)}</details>`;
  },
};

const NOTE = /^ {0,3}\[\^([^\]\s]{1,40})\]:[ \t]*/;
/** What the text that is read has notes for: "[^a-z]" may be something else. */
let known = new Set();

/** @param {string} text @returns {string} the names of its notes */
export function knowFootnotes(text) {
  known = new Set([...text.matchAll(new RegExp(NOTE, "gm"))].map(([, name]) => name));
  return [...known].join(" ");
}

export const footnote = {
  name: "footnote",
  level: "block",
  // In this paragraph: to look further for each of thousands of paragraphs takes minutes.
  start: (text) => /\n(?:[ \t]*\n|\[\^)/.exec(text)?.[0] === "\n[^" ? text.search(/\n\[\^/) : -1,
  tokenizer(text) {
    const opening = NOTE.exec(text);
    if (!opening) return undefined;
    // It goes on until an empty line, or until the next one.
    const end = text.slice(opening[0].length).search(/\n(?:[ \t]*\n| {0,3}\[\^)|$/);
    const words = text.slice(opening[0].length, opening[0].length + end);
    const rest = /^\n*/.exec(text.slice(opening[0].length + end))[0];
    return { type: "footnote", raw: opening[0] + words + rest, label: opening[1], tokens: this.lexer.inlineTokens(words.trim()) };
  },
  renderer({ label, tokens }) {
    return `<p class="footnote"><sup>${escape(label)}</sup> ${this.parser.parseInline(tokens)}</p>`;
  },
};

export const reference = {
  name: "reference",
  level: "inline",
  tokenizer(text) {
    const [raw, label] = /^\[\^([^\]\s]{1,40})\]/.exec(text) ?? [];
    return known.has(label) ? { type: "reference", raw, label } : undefined;
  },
  renderer: ({ label }) => `<sup class="reference">${escape(label)}</sup>`,
};

/** What stands between signs that also mean something else has to look like a formula: prices and escaped brackets do not. */
const SIGN = /[\\^_=+<>]/;
/** More than that is not shown as a formula. */
const MOST_CHARS = 2000;
const BETWEEN_DOLLARS = /^(?:[A-Za-z]|(?=[\s\S]*[\\^_=])\S(?:[\s\S]*[^\s\\])?)$/;

/** What stands between two signs; one expression for all of it would try each end with each sign of a formula. */
function between(text, begin, end) {
  const at = text.startsWith(begin) ? text.slice(0, MOST_CHARS).indexOf(end, begin.length) : -1;
  const tex = text.slice(begin.length, Math.max(0, at));
  return tex.trim() && { raw: begin + tex + end, tex };
}

const isOneLine = ({ tex }) => !tex.includes("\n");

function inline(text) {
  const round = between(text, "\\(", "\\)");
  if (round && isOneLine(round) && (SIGN.test(round.tex) || /^\w$/.test(round.tex))) return round;
  const double = between(text, "$$", "$$");
  if (double && isOneLine(double) && !double.tex.includes("$")) return double;
  const single = between(text, "$", "$");
  return single && isOneLine(single) && BETWEEN_DOLLARS.test(single.tex) && !/^[\w$]/.test(text.slice(single.raw.length)) && single;
}

function square(text) {
  const found = between(text, "\\[", "\\]");
  return found && SIGN.test(found.tex) && found;
}

function block(text) {
  const [indent] = /^ {0,3}/.exec(text);
  const found = between(text.slice(indent.length), "$$", "$$");
  const [rest] = (found && /^[ \t]*(?:\n|$)/.exec(text.slice(indent.length + found.raw.length))) || [];
  return rest !== undefined && { raw: indent + found.raw + rest, tex: found.tex };
}

const formula = (name, level, find, kind) => ({
  name,
  level,
  ...(level === "inline" && { start: (text) => text.indexOf("$") }),
  tokenizer(text) {
    const found = find(text);
    return found ? { type: name, raw: found.raw, tex: found.tex.trim() } : undefined;
  },
  renderer: ({ tex }) => (level === "inline" ? `<code class="${kind}">${escape(tex)}</code>` : `<p><code class="${kind}">${escape(tex)}</code></p>`),
});

export const math = [
  formula("formula", "inline", inline, "math"),
  formula("brackets", "inline", square, "math display"),
  formula("formulas", "block", block, "math display"),
];
