/** How an answer was: two buttons, and a word for those who like. */

import { icon, make } from "./dom.js";
import { t } from "./i18n.js";

const MOST_CHARS = 500;
const RATINGS = ["like", "dislike"];

/**
 * What stands below an answer that can be rated.
 * @param {(said: {rating?: "like" | "dislike", text?: string}) => void} rate without a rating what was said is void
 */
export function ratingOf(rate) {
  let chosen;
  const label = t("rate.word");
  const word = make("input", { class: "word", type: "text", maxLength: MOST_CHARS, placeholder: label, "aria-label": label, hidden: true });
  const buttons = RATINGS.map((rating) => {
    const words = t(`rate.${rating}`);
    const button = make("button", { type: "button", class: "quiet", title: words, "aria-label": words, "aria-pressed": "false" }, icon(rating));
    button.onclick = () => {
      chosen = chosen === rating ? undefined : rating;
      for (const each of buttons) each.setAttribute("aria-pressed", String(each === button && chosen !== undefined));
      word.hidden = !chosen;
      rate(chosen ? { rating: chosen } : {});
    };
    return button;
  });
  word.onkeydown = ({ key, isComposing }) => {
    const text = word.value.trim();
    if (key !== "Enter" || isComposing || !text) return;
    rate({ rating: chosen, text });
    word.hidden = true;
    word.value = "";
  };
  return make("span", { class: "rating" }, ...buttons, word);
}
