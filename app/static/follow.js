/** Keeps the newest question in view: at the top of its pane, so that its answer grows below its title. */

import { byId } from "./dom.js";

/** Between the top of the pane and a title. */
const GAP = 10;
/** So far from where a reader was brought to, in pixels, they have not moved away. */
const NEAR = 80;

export class Follower {
  #pane = byId("answers");
  #cards = byId("cards");
  #room = byId("room");
  #foot = byId("foot");
  #button = byId("latest");
  #is_pinned = true;
  /** Where the pane was when it was last seen: a pane that is not shown forgets it. */
  #top = 0;
  #is_hidden = false;
  /** Where the newest question was then, and how much there was. */
  #seen = { target: 0, height: 0 };

  constructor() {
    this.#pane.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    const observer = new ResizeObserver(() => this.#fit());
    for (const element of [this.#pane, this.#cards, this.#foot]) observer.observe(element);
    this.#button.onclick = () => {
      this.#pin();
      this.#cards.lastElementChild.focus({ preventScroll: true });
    };
  }

  /** Add a card, and bring it to the top unless somebody reads elsewhere. @param {HTMLElement} card */
  add(card) {
    const { scrollTop, scrollHeight, clientHeight } = this.#pane;
    const is_at_end = clientHeight > 0 && scrollHeight - scrollTop - clientHeight < NEAR;
    const goes_along = this.#is_pinned || is_at_end || !this.#cards.childElementCount;
    this.#cards.append(card);
    if (goes_along) return this.#pin();
    this.#is_pinned = false;
    this.#fit();
  }

  get #target() {
    const card = this.#cards.lastElementChild;
    return card ? Math.max(0, card.offsetTop - GAP) : 0;
  }

  #pin() {
    this.#is_pinned = true;
    this.#fit();
  }

  /** Leave as much room below the newest question as brings it to the top. */
  #fit() {
    const { clientHeight } = this.#pane;
    const was_hidden = this.#is_hidden;
    this.#is_hidden = clientHeight === 0;
    if (this.#is_hidden) return;
    const end = this.#cards.offsetTop + this.#cards.offsetHeight + this.#foot.offsetHeight;
    const rest = this.#target + clientHeight - end;
    this.#room.style.height = this.#cards.childElementCount ? `${Math.max(0, rest)}px` : "0";
    if (this.#is_pinned) this.#pane.scrollTop = this.#target;
    else if (was_hidden) this.#pane.scrollTop = this.#top;
    this.#look();
  }

  #onScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.#pane;
    // It may be that the page has moved below the reader: above the question, or because there is less of it.
    const is_cut = scrollHeight < this.#seen.height && scrollHeight - scrollTop - clientHeight < 2;
    if (this.#is_pinned && (is_cut || this.#target !== this.#seen.target)) this.#fit();
    else this.#look();
  }

  #look() {
    const { scrollTop, scrollHeight, clientHeight } = this.#pane;
    if (!clientHeight) return;
    this.#top = scrollTop;
    this.#seen = { target: this.#target, height: scrollHeight };
    const away = this.#target - scrollTop;
    this.#is_pinned = Math.abs(away) < NEAR;
    this.#button.hidden = away < NEAR;
  }
}
