/** Where the time of one question went, to scale: heard, recognised, waited, asked, first text, done. */

import { make } from "./dom.js";
import { duration, t } from "./i18n.js";

const STEPS = ["heard", "recognised", "waited", "asked", "first_text", "done"];
// 24 hours: “PM” has no room on a phone.
const clock = new Intl.DateTimeFormat([], { timeStyle: "medium", hourCycle: "h23" });

export class Waterfall {
  /** How long each step took, in milliseconds; undefined while it is not known. @type {Record<string, number | undefined>} */
  #took = {};
  #steps = {};
  #parts = {};
  #list = make("ol", { class: "steps" });
  #bar = make("div", { class: "scale", "aria-hidden": "true" });

  constructor() {
    for (const name of STEPS) {
      const at = make("span", { class: "at" });
      this.#steps[name] = make("li", { "data-step": name }, make("span", { class: "step" }, t(name)), " ", at);
      this.#parts[name] = make("i", { "data-step": name });
    }
    this.#list.append(...Object.values(this.#steps));
    this.#bar.append(...Object.values(this.#parts).slice(1));
    this.elements = [this.#bar, this.#list];
  }

  /** The words were heard just now, so long before they were known to ask. @param {number} ms */
  heard(ms) {
    this.#reach("heard", clock.format(Date.now() - ms));
  }

  /** A step is over. @param {string} name @param {number} [ms] that it took */
  reach(name, ms) {
    this.#took[name] = ms;
    this.#reach(name, duration(ms));
    const total = Object.values(this.#took).reduce((sum, each = 0) => sum + Math.max(0, each), 0) || 1;
    for (const step of STEPS) this.#parts[step].style.flexGrow = String(Math.max(0, this.#took[step] ?? 0) / total);
  }

  /** Nothing more comes. */
  end() {
    this.#list.querySelector("[aria-current]")?.removeAttribute("aria-current");
  }

  #reach(name, words) {
    this.#steps[name].lastChild.textContent = words;
    this.#steps[name].classList.add("reached");
    this.end();
    // What is shown as going on is the step after the last one that is over.
    const next = [...this.#list.children].findLast((step) => step.classList.contains("reached"))?.nextElementSibling;
    next?.setAttribute("aria-current", "step");
  }
}
