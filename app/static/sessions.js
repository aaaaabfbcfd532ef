/** What was said, asked and answered in this session; and, once the reader wishes so, in the last ones, in this browser only. */

import { addTo } from "./client.js";

const KEPT = "realtime-rag session ";
const WISH = "realtime-rag keeps sessions";
const MOST_SESSIONS = 20;
const MOST_QUESTIONS = 200;
const MOST_LINES = 500;

/**
 * @typedef {{question: string, query_id: string, at: string, answer: string, sources: {title?: string, source?: string}[], error?: string,
 *   first_text_ms?: number | null, total_ms?: number}} Asked
 * @typedef {{begun: string, session_id?: string, talk: {at: string, speaker?: string, text: string, id: string}[], questions: Asked[]}} Session
 */

/** @returns {Session} */
const anew = () => ({ begun: new Date().toISOString(), talk: [], questions: [] });

/** What stands there is ours, unless somebody else wrote it or it comes from another version. */
const isSession = (kept, key) =>
  KEPT + kept?.begun === key &&
  !Number.isNaN(Date.parse(kept.begun)) &&
  [kept.talk, kept.questions].every((list) => Array.isArray(list) && list.every((each) => each && typeof each === "object")) &&
  kept.questions.every(({ question, answer, sources }) => typeof question === "string" && typeof answer === "string" && Array.isArray(sources));

const isEmpty = ({ talk, questions }) => !talk.length && !questions.length;

/** What keeps no data, as in some private windows, keeps no sessions. @param {() => T} act @returns {T | undefined} @template T */
function attempt(act) {
  try {
    return act();
  } catch {
    return undefined;
  }
}

export class Sessions {
  current = anew();

  get is_kept() {
    return attempt(() => localStorage.getItem(WISH)) === "yes";
  }

  /** Whether this one and those that come are kept. @param {boolean} is_kept */
  set is_kept(is_kept) {
    attempt(() => (is_kept ? localStorage.setItem(WISH, "yes") : localStorage.removeItem(WISH)));
    this.#save();
  }

  /** Those that are kept, but for this one, the newest first. @returns {Session[]} */
  get former() {
    const keys = attempt(() => Object.keys(localStorage).filter((key) => key.startsWith(KEPT))) ?? [];
    const read = (key) => attempt(() => JSON.parse(localStorage.getItem(key)));
    const all = keys.map((key) => [key, read(key)]).filter(([key, each]) => isSession(each, key)).map(([, each]) => each);
    return all.filter(({ begun }) => begun !== this.current.begun).sort((one, other) => other.begun.localeCompare(one.begun));
  }

  /** @param {Session} session */
  delete({ begun }) {
    attempt(() => localStorage.removeItem(KEPT + begun));
  }

  /** The service says which session this is: one that goes on, as after a reload, or another. @param {string} session_id */
  is(session_id) {
    if (this.current.session_id === session_id) return;
    if (this.current.session_id) this.divide();
    const known = this.is_kept && this.former.find((each) => each.session_id === session_id);
    if (known) this.current = { ...known, talk: [...known.talk, ...this.current.talk] };
    this.current.session_id = session_id;
  }

  /** Another one begins. */
  divide() {
    const { session_id } = this.current;
    if (!isEmpty(this.current)) this.current = { ...anew(), session_id };
  }

  said({ id, text, speaker }) {
    const { talk } = this.current;
    if (talk.some((each) => each.id === id)) return;
    talk.push({ at: new Date().toISOString(), ...(speaker && { speaker }), text, id });
    if (talk.length > MOST_LINES) talk.shift();
  }

  asked({ query_id, question }) {
    const { questions } = this.current;
    if (questions.some((each) => each.query_id === query_id)) return;
    questions.push({ question, query_id, at: new Date().toISOString(), answer: "", sources: [] });
    if (questions.length > MOST_QUESTIONS) questions.shift();
  }

  answered(frame) {
    const asked = this.current.questions.findLast(({ query_id }) => query_id === frame.query_id);
    if (!asked) return;
    if (!frame.error) asked.answer = addTo(asked.answer, frame);
    if (!frame.final) return;
    const { first_text_ms, total_ms } = frame.timing;
    const sources = (frame.sources ?? []).map(({ title, source }) => ({ title, source }));
    Object.assign(asked, { sources, first_text_ms, total_ms, ...(frame.error && { error: frame.error.code }) });
    this.#save();
  }

  #save() {
    if (!this.is_kept || isEmpty(this.current)) return;
    for (const old of this.former.slice(MOST_SESSIONS - 1)) this.delete(old);
    const put = () => localStorage.setItem(KEPT + this.current.begun, JSON.stringify(this.current));
    try {
      put();
    } catch {
      // There is no more room: the older half goes.
      for (const old of this.former.slice(this.former.length >> 1)) this.delete(old);
      attempt(put);
    }
  }
}
