/** How fast the answers of this session come, beside those of the session before. */

import { byId, make } from "./dom.js";
import { duration, t } from "./i18n.js";

const MOST_BARS = 60;
const SHARES = [0.5, 0.95];

export class Pace {
  /** @type {{first: number | null, total: number}[]} */
  #times = [];
  /** Of the session before, as it is shown. @type {string[][] | undefined} */
  #former;
  #bars = byId("pace-bars");

  constructor() {
    byId("pace").open = matchMedia("(min-height: 561px)").matches;
  }

  /** @param {{first_text_ms: number | null, total_ms: number}} timing @param {string} question */
  add({ first_text_ms, total_ms }, question) {
    this.#times.push({ first: first_text_ms, total: total_ms });
    const first = make("i", { class: "first" });
    const bar = make("i", { class: "total", title: `${question} · ${duration(first_text_ms)} · ${duration(total_ms)}` }, first);
    this.#bars.append(bar);
    if (this.#bars.childElementCount > MOST_BARS) this.#bars.firstChild.remove();
    this.#show();
  }

  /** Another session begins. */
  divide() {
    if (!this.#times.length) return;
    this.#former = paceOf(this.#times);
    this.#times = [];
    this.#bars.replaceChildren();
    this.#show();
  }

  #show() {
    byId("pace").hidden = false;
    const shown = this.#times.slice(-MOST_BARS);
    const longest = Math.max(1, ...shown.map(({ total }) => total));
    for (const [i, { first, total }] of shown.entries()) {
      const bar = this.#bars.children[i];
      bar.style.height = `${Math.max(4, (100 * total) / longest)}%`;
      bar.firstChild.style.height = `${(100 * (first ?? 0)) / Math.max(1, total)}%`;
    }
    const names = [t("first_text"), t("total_time")];
    const rows = paceOf(this.#times).map((row, i) => [names[i], ...row, ...(this.#former?.[i] ?? [])]);
    byId("pace-rows").replaceChildren(
      ...rows.map(([name, ...values]) =>
        make("tr", {}, make("th", { scope: "row" }, name), ...values.map((value) => make("td", {}, value))),
      ),
    );
    for (const head of document.querySelectorAll("#pace .former")) head.hidden = !this.#former;
  }
}

/** p50 and p95 of the first text, and of all. @param {{first: number | null, total: number}[]} times @returns {string[][]} */
export function paceOf(times) {
  const firsts = times.map(({ first }) => first).filter((ms) => ms !== null);
  return [firsts, times.map(({ total }) => total)].map((all) => SHARES.map((share) => duration(percentile(all, share))));
}

/** The value that so large a share of them do not pass. */
function percentile(values, share) {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}
