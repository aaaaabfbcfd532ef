/**
 * The reference client: one WebSocket that comes back by itself. It needs nothing but a browser.
 *
 * @typedef {{text: string, is_final?: boolean, segment_id?: string | number, end_of_turn?: boolean, speaker?: string,
 *   language?: string, confidence?: number, end_ms?: number, id?: string}} Chunk
 * @typedef {{on_new_question?: "queue" | "interrupt" | "ignore", auto_detect?: boolean | "suggest", speakers?: string[],
 *   ask_above?: number, names?: string[], address?: "anyone" | "named", inputs?: object, answer_language?: string, answer_style?: "short" | "full",
 *   tuning?: {wait_min_ms?: number, wait_max_ms?: number, merge_seconds?: number, min_confidence?: number,
 *   query_scope?: "question" | "aggregated"}}} SessionSettings
 * @typedef {"pause" | "resume" | "cancel" | "instant_query" | "reset" | "stop" | "feedback"} Action
 * @typedef {{state: "connecting" | "open" | "waiting" | "closed", code?: number, retry_ms?: number, resumed?: boolean,
 *   reason?: string}} State
 * @typedef {{type: string, id: string, [field: string]: any}} Message as it goes over the wire
 * @typedef {{messages: Message[], reason: "limit" | "new_session" | "too_large" | "closed"}} GivenUp
 */

/** Close codes after which trying again cannot help: the end, a fault of this client, or somebody else's turn. */
const FINAL_CODES = new Set([1000, 1002, 1003, 1007, 1010, 4401, 4408, 4409]);

const TOO_LARGE = 1009;

/** Closes that may come of what this client sends: the waits go on growing, though it was connected. */
const PERHAPS_OWN_FAULT = new Set([1008, TOO_LARGE, 1011, 1013]);

/** Messages that are kept until they are answered. So many at once pass the service's limit. */
const MOST_KEPT = 100;

/**
 * Add a frame to the answer so far.
 * @param {string} text
 * @param {{content: string, replace?: boolean}} frame
 * @returns {string}
 */
export const addTo = (text, frame) => (frame.replace ? frame.content : text + frame.content);

/** What no `ack` or `error` has answered yet, in the order in which it was made. */
class Unanswered {
  /** @type {Message[]} */
  #messages = [];

  /** @returns {Message[]} */
  get all() {
    return [...this.#messages];
  }

  /** @param {Message} message @returns {Message[]} what is kept no longer, for want of room */
  add(message) {
    if (message.type === "asr_chunk") this.#messages = this.#messages.filter((each) => !isOvertaken(each, message));
    this.#messages.push(message);
    return this.#messages.length > MOST_KEPT ? this.#messages.splice(this.#leastWanted(), 1) : [];
  }

  /** @param {string | undefined} id */
  remove(id) {
    const index = this.#messages.findIndex((message) => message.id === id);
    if (index >= 0) this.#messages.splice(index, 1);
  }

  /** @returns {Message[]} the one that takes the most room, kept no longer */
  takeLargest() {
    const sizes = this.#messages.map((message) => size(JSON.stringify(message)));
    return this.#messages.splice(sizes.indexOf(Math.max(...sizes)), 1);
  }

  /** Keep these instead. @param {Message[]} messages */
  replace(messages) {
    this.#messages = [...messages];
  }

  #leastWanted() {
    const partial = this.#messages.findIndex(isPartial);
    return partial >= 0 ? partial : Math.max(0, this.#messages.findIndex(({ type }) => type !== "configure"));
  }
}

const isPartial = ({ type, is_final }) => type === "asr_chunk" && !is_final;

/** A speaker's partial says nothing that their next chunk does not say. */
const isOvertaken = (message, by) => isPartial(message) && (message.speaker ?? "") === (by.speaker ?? "");

/** What a page has to be shown again after a reload: that the session is paused, and the question that is being answered. */
class Scene {
  #paused;
  #begun;
  #querying;
  /** As one frame, which stands for all texts so far. */
  #answer;

  get all() {
    return [this.#paused, this.#begun, this.#querying, this.#answer].filter(Boolean);
  }

  see(frame) {
    if (frame.type === "answer" && !frame.final)
      this.#answer = { ...frame, content: addTo(this.#answer?.content ?? "", frame), replace: true };
    if (frame.final || OVER.has(frame.stage)) this.#begun = this.#querying = this.#answer = undefined;
    if (frame.stage === "analyzing" || frame.stage === "instant_query") this.#begun = frame;
    if (frame.stage === "querying_rag") this.#querying = frame;
    if (frame.stage === "paused" && !frame.reason) this.#paused = frame;
    if (frame.stage === "listening") this.#paused = undefined;
  }
}

/** Stages in which no answer runs any more. */
const OVER = new Set(["interrupting", "idle", "closed"]);

/** Whether it still means something in another session: the other controls were about the one that is gone. */
const isForAnySession = ({ type, is_final, action }) =>
  (type === "asr_chunk" && is_final) || (type === "control" && action === "instant_query");

/** What outlives a reload of the page in its tab. A frame without an origin of its own has none. */
function storage() {
  try {
    return globalThis.sessionStorage;
  } catch {
    return undefined;
  }
}

/**
 * Events, each a `CustomEvent`: `ack`, `status`, `answer` and `error` carry the frame, `frame` carries
 * `{direction: "in" | "out", frame, size}` for every frame either way, `state` carries a `State`, `held` carries `{message}`: one that is kept until there is a
 * connection, `given_up` a `GivenUp`: messages that no reply has come for and that are not sent again. After a reload of the page, `status` and `answer` come
 * once more for what was shown of the running answer, with `kept: true`.
 */
export class RealtimeRag extends EventTarget {
  #url;
  #token;
  #keepalive_ms;
  #greeting_ms;
  /** @type {WebSocket | null} */
  #socket = null;
  #is_open = false;
  #resume_token = "";
  /** The last frame that arrived. */
  #last = { session_id: "", seq: 0 };
  /** @type {SessionSettings} */
  #settings = {};
  /** Whether there was a session before, which what is unanswered may have been meant for. */
  #had_session = false;
  #unanswered = new Unanswered();
  #scene = new Scene();
  /** What the page before this one had been told. */
  #kept = [];
  // By chance: the frames that a resumed session gives back may answer messages of another page.
  #ids = `${Math.random().toString(36).slice(2, 10)}-`;
  #made = 0;
  /** The frame that tells what has arrived: until it has come, nothing is sent. */
  #newest_seq = 0;
  #is_ready = false;
  #attempts = 0;
  #retry = 0;
  #heartbeat = 0;
  /** Runs while the connection owes a frame. */
  #patience = 0;
  /** Where in the storage of the tab all this lies while the page is away. */
  #place;
  /** Ends the listeners on the page. @type {AbortController | null} */
  #watching = null;

  /**
   * @param {string | URL} url `ws://` or `wss://`
   * @param {{token?: string, keepalive_ms?: number, greeting_ms?: number, name?: string}} [options] `token` travels as a
   *   subprotocol, never in the address. A connection is given up that is not greeted within `greeting_ms`, or that answers
   *   no keepalive within half of `keepalive_ms`, which is how often one is sent. `name` tells clients of one page apart.
   */
  constructor(url, { token = "", keepalive_ms = 10_000, greeting_ms = 10_000, name = "" } = {}) {
    super();
    this.#url = String(url);
    this.#token = token;
    this.#keepalive_ms = keepalive_ms;
    this.#greeting_ms = greeting_ms;
    // Not the query: it may hold a token.
    const { origin, pathname } = new URL(this.#url);
    this.#place = `realtime-rag ${name} ${origin}${pathname}`;
    this.#takeBack();
  }

  /** @returns {SessionSettings} what `configure` has set, also on the page before a reload */
  get settings() {
    return { ...this.#settings };
  }

  /** Connect, or try again now instead of later. Throws a `SyntaxError` on a token that no header can carry. */
  connect() {
    if (this.#socket) return;
    this.#stopRetry();
    this.#watch();
    const url = new URL(this.#url);
    if (this.#resume_token) {
      url.searchParams.set("resume_token", this.#resume_token);
      url.searchParams.set("last_seq", String(this.#last.seq));
      url.searchParams.set("session_id", this.#last.session_id);
    }
    const socket = new WebSocket(url, this.#token ? ["realtime-rag.v1", `bearer.${this.#token}`] : []);
    this.#socket = socket;
    socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(data);
    socket.onclose = ({ code }) => socket === this.#socket && this.#lost(code);
    this.#expectFrame(this.#greeting_ms);
    this.#tell("state", { state: "connecting" });
    for (const frame of this.#kept.splice(0)) this.#show(frame);
  }

  /** Leave for good; the session ends. */
  close() {
    this.#stopRetry();
    this.#socket?.close(1000);
    this.#lost(1000);
  }

  /** Send a piece of transcript. @param {Chunk} chunk */
  chunk(chunk) {
    this.#post({ type: "asr_chunk", ...chunk });
  }

  /** Act on the session. @param {Action} action @param {{text?: string, id?: string, query_id?: string,
   *   rating?: "like" | "dislike"}} [fields] */
  control(action, fields = {}) {
    this.#post({ type: "control", action, ...fields });
  }

  /** Set what is given; it is set again in every new session of this client. @param {SessionSettings} settings */
  configure(settings) {
    this.#settings = { ...this.#settings, ...settings };
    this.#post({ type: "configure", ...settings });
  }

  #post(message) {
    const identified = this.#identified(message);
    const given_up = this.#unanswered.add(identified);
    if (!this.#is_ready || !this.#send(identified)) this.#tell("held", { message: identified });
    this.#giveUp(given_up, "limit");
  }

  #identified(message) {
    return { ...message, id: message.id ?? `${this.#ids}${++this.#made}` };
  }

  /** @param {Message[]} messages @param {GivenUp["reason"]} reason */
  #giveUp(messages, reason) {
    if (messages.length) this.#tell("given_up", { messages, reason });
  }

  /** False while the connection closes: what is unanswered goes out with the next one. */
  #send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    const data = JSON.stringify(message);
    this.#socket.send(data);
    this.#tell("frame", { direction: "out", frame: message, size: size(data) });
    return true;
  }

  #receive(data) {
    const frame = JSON.parse(data);
    if (frame.seq !== undefined) this.#last = frame;
    if (frame.type === "error" && frame.code === "RATE_LIMITED") this.#sendLater(frame);
    else if (frame.type === "ack" || frame.type === "error") this.#unanswered.remove(frame.id);
    this.#tell("frame", { direction: "in", frame, size: size(data) });
    // Only the first one: a resumed session may repeat the one it began with.
    if (!this.#is_open && frame.message === "connected") this.#opened(frame);
    if (this.#is_open) clearTimeout(this.#patience);
    this.#show(frame);
    if (this.#is_open && !this.#is_ready && frame.seq >= this.#newest_seq) this.#sendAgain();
  }

  #show(frame) {
    this.#scene.see(frame);
    this.#tell(frame.type, frame);
  }

  /** It came too early, and was not taken. A partial has no second time: there are more to come. */
  #sendLater({ id, retry_after_ms = 0 }) {
    const find = () => this.#unanswered.all.find((message) => message.id === id);
    if (isPartial(find() ?? {})) this.#unanswered.remove(id);
    const socket = this.#socket;
    setTimeout(() => {
      const message = find();
      if (message && socket === this.#socket) this.#send(message);
    }, retry_after_ms);
  }

  #sendAgain() {
    this.#is_ready = true;
    for (const message of this.#unanswered.all) this.#send(message);
  }

  #opened({ resumed = false, resume_token = "", reason, seq, newest_seq = seq }) {
    this.#resume_token = resume_token;
    this.#newest_seq = newest_seq;
    this.#is_open = true;
    const given_up = resumed ? [] : this.#beginAnew();
    this.#had_session = true;
    this.#heartbeat = setInterval(() => this.#beat(), this.#keepalive_ms);
    this.#tell("state", { state: "open", resumed, reason });
    this.#giveUp(given_up, "new_session");
    // The token from before is good no longer.
    if (globalThis.document?.hidden) this.#keep();
  }

  /** @returns {Message[]} what was meant for the session before */
  #beginAnew() {
    const others = this.#unanswered.all.filter(({ type }) => type !== "configure");
    const goes_on = others.filter((message) => !this.#had_session || isForAnySession(message));
    const is_set = Object.keys(this.#settings).length > 0;
    const settings = is_set ? [this.#identified({ type: "configure", ...this.#settings })] : [];
    this.#unanswered.replace([...settings, ...goes_on]);
    this.#scene = new Scene();
    return others.filter((message) => !goes_on.includes(message));
  }

  /** A connection that is dead without a close frame shows only when it owes an answer. */
  #beat() {
    this.#expectFrame(this.#keepalive_ms / 2);
    this.#send(this.#identified({ type: "keepalive" }));
  }

  #expectFrame(ms) {
    clearTimeout(this.#patience);
    this.#patience = setTimeout(() => {
      this.#socket?.close();
      this.#lost(1006);
    }, ms);
  }

  #watch() {
    if (this.#watching) return;
    this.#watching = new AbortController();
    const { signal } = this.#watching;
    const listen = (target, type, act) => target?.addEventListener?.(type, act, { signal });
    listen(globalThis, "online", () => this.#wake());
    listen(globalThis, "pagehide", () => this.#keep());
    listen(globalThis, "pageshow", ({ persisted }) => persisted && this.#beBack());
    listen(globalThis.document, "visibilitychange", () => (document.hidden ? this.#keep() : this.#beBack()));
  }

  /** Keep what the next page of this tab needs to go on. Only while this one is away: a copy of the tab would take it, too. */
  #keep() {
    const { session_id, seq } = this.#last;
    const kept = {
      resume_token: this.#resume_token,
      session_id,
      seq,
      had_session: this.#had_session,
      settings: this.#settings,
      unanswered: this.#unanswered.all,
      frames: this.#scene.all,
    };
    try {
      storage()?.setItem(this.#place, JSON.stringify(kept));
    } catch {
      this.#forget(); // there is no room for it
    }
  }

  #forget() {
    storage()?.removeItem(this.#place);
  }

  #takeBack() {
    const text = storage()?.getItem(this.#place);
    this.#forget();
    if (!text) return;
    const kept = JSON.parse(text);
    this.#resume_token = kept.resume_token;
    this.#last = kept;
    this.#had_session = kept.had_session;
    this.#settings = kept.settings;
    this.#unanswered.replace(kept.unanswered);
    this.#kept = kept.frames.map((frame) => ({ ...frame, kept: true }));
  }

  /** Somebody looks at the page, whose timers may have slept. */
  #beBack() {
    this.#forget();
    this.#wake();
  }

  /** Look at once whether the connection lives, or try again: it may help now. */
  #wake() {
    if (this.#retry) this.connect();
    else if (this.#is_open) this.#beat();
  }

  #stopRetry() {
    clearTimeout(this.#retry);
    this.#retry = 0;
  }

  #lost(code) {
    clearInterval(this.#heartbeat);
    clearTimeout(this.#patience);
    this.#socket = null;
    if (this.#is_open && !PERHAPS_OWN_FAULT.has(code)) this.#attempts = 0;
    this.#is_open = this.#is_ready = false;
    if (FINAL_CODES.has(code)) return this.#ended(code);
    // Half of the wait is chance: a thousand clients of a restarted service shall not come back at once.
    const longest = Math.min(30_000, 500 * 2 ** this.#attempts++);
    const retry_ms = Math.round(longest / 2 + (Math.random() * longest) / 2);
    this.#retry = setTimeout(() => this.connect(), retry_ms);
    this.#tell("state", { state: "waiting", code, retry_ms });
    if (code === TOO_LARGE) this.#giveUp(this.#unanswered.takeLargest(), "too_large");
  }

  #ended(code) {
    this.#watching?.abort();
    this.#watching = null;
    this.#forget();
    this.#scene = new Scene();
    this.#attempts = 0;
    this.#resume_token = "";
    this.#last = { session_id: "", seq: 0 };
    this.#had_session = false;
    const given_up = this.#unanswered.all;
    this.#unanswered.replace([]);
    this.#tell("state", { state: "closed", code });
    this.#giveUp(given_up, "closed");
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** The size on the wire in bytes. */
const size = (data) => new TextEncoder().encode(data).length;
