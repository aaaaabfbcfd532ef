/** What waits to be asked, in order, and what will not be asked any more, with the reason. */

import { byId, make } from "./dom.js";
import { t } from "./i18n.js";

/** @typedef {{text: string, line?: object, id?: string, element: HTMLElement}} Entry */

export class Waiting {
  #box = byId("next");
  #list = byId("next-list");
  /** @type {Entry[]} */
  #entries = [];

  /** A question waits for the running answer. @param {object} [line] in which it was heard */
  add(text, line) {
    // What goes on, or is corrected, takes the place of what it was.
    const known = this.#entries.find((entry) => !entry.id && ((line && entry.line === line) || text.startsWith(entry.text)));
    if (known) {
      Object.assign(known, { text, line });
      known.element.firstChild.textContent = text;
    } else {
      this.#append({ text, line });
    }
    this.#show();
  }

  /** A typed question waits for the connection. */
  hold(id, text) {
    this.#append({ id, text }, t("held"));
    this.#show();
  }

  /** It went out, or was given up. @param {string} id */
  release(id) {
    this.#remove(this.#entries.filter((entry) => entry.id === id));
  }

  /** This one is asked now. @param {string} question */
  take(question) {
    this.#list.querySelectorAll(".dropped").forEach((element) => element.remove());
    const waiting = this.#entries.filter(({ id }) => !id);
    // With the talk before it, it may have grown or shrunk since it was shown.
    const at = waiting.findIndex(({ text }) => text === question);
    const like = waiting.findIndex(({ text }) => text.endsWith(question) || question.endsWith(text));
    this.#remove(waiting.slice(0, (at < 0 ? like : at) + 1));
  }

  /**
   * These will not be asked.
   * @param {string[]} texts as they were shown @param {string} why @returns {object[]} the lines in which they were heard
   */
  drop(texts, why) {
    const dropped = texts.map((text) => this.#entries.find((entry) => !entry.id && entry.text === text)).filter(Boolean);
    for (const { element } of dropped) {
      element.classList.add("dropped");
      element.firstChild.replaceWith(make("s", { dir: "auto" }, element.firstChild.textContent));
      element.append(" ", make("span", { class: "why" }, why));
    }
    this.#entries = this.#entries.filter((entry) => !dropped.includes(entry));
    this.#show();
    return dropped.map(({ line }) => line).filter(Boolean);
  }

  /** Nothing waits any more. @returns {object[]} */
  dropAll(why) {
    return this.drop(this.#entries.filter(({ id }) => !id).map(({ text }) => text), why);
  }

  #append(entry, note) {
    entry.element = make("li", {}, make("q", { dir: "auto" }, entry.text));
    if (note) entry.element.append(" ", make("span", { class: "why" }, note));
    this.#entries.push(entry);
    this.#list.append(entry.element);
  }

  #remove(entries) {
    for (const { element } of entries) element.remove();
    this.#entries = this.#entries.filter((entry) => !entries.includes(entry));
    this.#show();
  }

  #show() {
    this.#box.hidden = this.#list.childElementCount === 0;
    byId("next-title").textContent = t(this.#entries.length ? "next" : "not_asked");
  }
}
