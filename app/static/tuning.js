/** How this session hears questions: set while it is talked, and copied as lines of `.env` for who wants to keep it. */

import { copy, make } from "./dom.js";
import { duration, t } from "./i18n.js";

const RANGES = {
  wait_min_ms: { min: 0, max: 5000, step: 50, words: duration },
  wait_max_ms: { min: 0, max: 5000, step: 50, words: duration },
  merge_seconds: { min: 0.5, max: 10, step: 0.5, words: (seconds) => duration(seconds * 1000) },
  min_confidence: { min: 0, max: 1, step: 0.05, words: (share) => `${Math.round(share * 100)} %` },
};
const SCOPES = ["question", "aggregated"];

export class Tuning {
  #service;
  #configure;
  /** The fields by their names. @type {Record<string, HTMLInputElement | HTMLSelectElement>} */
  #fields = {};
  #said = make("p", { class: "hint", role: "status" });
  #copy = make("button", { type: "button", class: "quiet" }, t("copy_env"));
  #reset = make("button", { type: "button", class: "quiet" }, t("tuning.reset"));

  /**
   * @param {HTMLElement} place @param {Record<string, any>} service what the service is set to @param {Record<string, any>} own what this session has
   * @param {(tuning: object) => void} configure
   */
  constructor(place, service, own, configure) {
    this.#service = service;
    this.#configure = configure;
    for (const name of Object.keys(RANGES)) place.append(this.#slider(name));
    const scope = (this.#fields.query_scope = make("select", {}, ...SCOPES.map((value) => make("option", { value }, t(`tuning.${value}`)))));
    place.append(make("label", { class: "tuned" }, make("span", {}, t("tuning.query_scope")), scope));
    place.append(make("p", { class: "buttons" }, this.#reset, this.#copy), this.#said);
    for (const field of Object.values(this.#fields)) field.onchange = () => this.#set();
    this.#reset.onclick = () => {
      this.#show(this.#service);
      this.#set();
    };
    this.#copy.onclick = () => copy(this.#lines(), this.#copy, t("copied"));
    this.#show({ ...service, ...own });
  }

  /** The service has received it. @param {Record<string, string>} [details] */
  acked(details) {
    this.#said.textContent = t(details?.tuning ? "tuning.ignored" : "tuning.taken");
    this.#said.classList.toggle("problem", Boolean(details?.tuning));
  }

  #slider(name) {
    const { words, min, max, step } = RANGES[name];
    const field = make("input", { type: "range", min, max: Math.max(max, this.#service[name]), step });
    const shown = make("span", { class: "value", "aria-hidden": "true" });
    this.#fields[name] = field;
    field.oninput = () => {
      shown.textContent = words(field.valueAsNumber);
      field.setAttribute("aria-valuetext", shown.textContent);
    };
    return make("label", { class: "tuned" }, make("span", {}, t(`tuning.${name}`)), field, shown);
  }

  #show(values) {
    for (const [name, field] of Object.entries(this.#fields)) {
      field.value = values[name];
      field.oninput?.();
    }
    this.#offer();
  }

  #offer() {
    this.#copy.disabled = this.#reset.disabled = !Object.keys(this.#own()).length;
  }

  /** What is not as the service is set. A slider has no values between its steps. */
  #own() {
    const values = Object.entries(this.#fields).map(([name, field]) => [name, RANGES[name] ? field.valueAsNumber : field.value]);
    return Object.fromEntries(values.filter(([name, value]) => value !== this.#nearest(name)));
  }

  #nearest(name) {
    if (!RANGES[name]) return this.#service[name];
    const { min, step } = RANGES[name];
    return Number((min + Math.round((this.#service[name] - min) / step) * step).toFixed(2));
  }

  #set() {
    this.#said.textContent = "";
    this.#offer();
    this.#configure(this.#own());
  }

  #lines() {
    return Object.entries(this.#own()).map(([name, value]) => `${name.toUpperCase()}=${value}\n`).join("");
  }
}
