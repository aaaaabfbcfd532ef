/** Settings of a session in the address of the page, to be shared: never tokens, inputs or addresses to connect to. */

const NUMBERS = ["wait_min_ms", "wait_max_ms", "merge_seconds", "min_confidence"];
const ON_NEW_QUESTION = ["queue", "interrupt", "ignore"];
const SCOPES = ["question", "aggregated"];
const ALL = ["on_new_question", "auto_detect", "speakers", "query_scope", ...NUMBERS];

/** @returns {import("./client.js").SessionSettings} those that the address has; what is not understood is left out */
export function fromAddress() {
  const query = new URL(location.href).searchParams;
  const among = (name, values) => (values.includes(query.get(name)) ? { [name]: query.get(name) } : {});
  const speakers = query.getAll("speakers").map((name) => name.trim().slice(0, 128)).filter(Boolean).slice(0, 64);
  const numbers = NUMBERS.filter((name) => query.get(name) && Number.isFinite(Number(query.get(name))));
  const tuning = { ...Object.fromEntries(numbers.map((name) => [name, Number(query.get(name))])), ...among("query_scope", SCOPES) };
  return {
    ...among("on_new_question", ON_NEW_QUESTION),
    ...(query.get("auto_detect") === "false" && { auto_detect: false }),
    ...(speakers.length && { speakers }),
    ...(Object.keys(tuning).length && { tuning }),
  };
}

/** @param {import("./client.js").SessionSettings} settings */
export function toAddress({ on_new_question, auto_detect, speakers = [], tuning = {} }) {
  const url = new URL(location.href);
  for (const name of ALL) url.searchParams.delete(name);
  const shared = { on_new_question, ...(auto_detect === false && { auto_detect }), ...tuning };
  for (const [name, value] of Object.entries(shared)) if (value !== undefined) url.searchParams.set(name, String(value));
  for (const name of speakers) url.searchParams.append("speakers", name);
  history.replaceState(history.state, "", url);
}
