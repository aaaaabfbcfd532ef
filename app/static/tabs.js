/** Where there is no room for both panes, one of them is shown. */

import { byId } from "./dom.js";

export class Tabs {
  #tabs = [byId("tab-answers"), byId("tab-heard")];

  constructor() {
    for (const [i, tab] of this.#tabs.entries()) {
      tab.onclick = () => this.show(tab);
      // In braces: what a handler returns is false, and then the key does nothing else.
      tab.onkeydown = ({ key }) => {
        if (key === "ArrowRight" || key === "ArrowLeft") this.show(this.#tabs[1 - i], true);
      };
    }
    this.show(this.#tabs[0]);
    // A link leads to a card, which may be in the other pane.
    addEventListener("hashchange", () => document.querySelector("#cards :target") && this.show(this.#tabs[0]));
  }

  /** @param {HTMLElement} shown */
  show(shown, with_focus = false) {
    for (const tab of this.#tabs) {
      tab.setAttribute("aria-selected", String(tab === shown));
      tab.tabIndex = tab === shown ? 0 : -1;
    }
    document.body.dataset.tab = shown.getAttribute("aria-controls");
    if (with_focus) shown.focus();
  }
}
