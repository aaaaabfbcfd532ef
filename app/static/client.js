/**
 * The reference client: one WebSocket that comes back by itself. It needs nothing but a browser.
 *
 * @typedef {{text: string, is_final?: boolean, segment_id?: string | number, end_of_turn?: boolean, speaker?: string,
 *   language?: string, confidence?: number, end_ms?: number, id?: string}} Chunk
 * @typedef {{on_new_question?: "queue" | "interrupt" | "ignore", auto_detect?: boolean, speakers?: string[],
 *   inputs?: object}} SessionSettings
 * @typedef {"pause" | "resume" | "cancel" | "instant_query" | "reset" | "stop"} Action
 * @typedef {{state: "connecting" | "open" | "waiting" | "closed", code?: number, retry_ms?: number, resumed?: boolean,
 *   reason?: string}} State
 */

/** Close codes after which trying again cannot help: the end, a fault of this client, or somebody else's turn. */
const FINAL_CODES = new Set([1000, 1002, 1003, 1007, 1008, 1009, 1010, 4401, 4408, 4409]);

/** Messages that are kept while there is no connection; partials are not, a newer one replaces them anyway. */
const MOST_WAITING = 100;

/**
 * Add a frame to the answer so far.
 * @param {string} text
 * @param {{content: string, replace?: boolean}} frame
 * @returns {string}
 */
export const addTo = (text, frame) => (frame.replace ? frame.content : text + frame.content);

/**
 * Events, each a `CustomEvent`: `ack`, `status`, `answer` and `error` carry the frame, `frame` carries
 * `{direction: "in" | "out", frame, size}` for every frame either way, `state` carries a `State`.
 */
export class RealtimeRag extends EventTarget {
  #url;
  #token;
  #keepalive_ms;
  /** @type {WebSocket | null} */
  #socket = null;
  #is_open = false;
  #resume_token = "";
  /** The last frame that arrived. */
  #last = { session_id: "", seq: 0 };
  /** @type {SessionSettings} */
  #settings = {};
  /** @type {object[]} */
  #waiting = [];
  #attempts = 0;
  #retry = 0;
  #heartbeat = 0;
  #is_silent = false;

  /**
   * @param {string | URL} url `ws://` or `wss://`
   * @param {{token?: string, keepalive_ms?: number}} [options] `token` travels as a subprotocol, never in the address.
   */
  constructor(url, { token = "", keepalive_ms = 20_000 } = {}) {
    super();
    this.#url = String(url);
    this.#token = token;
    this.#keepalive_ms = keepalive_ms;
  }

  /** Connect, or try again now instead of later. Throws a `SyntaxError` on a token that no header can carry. */
  connect() {
    if (this.#socket) return;
    clearTimeout(this.#retry);
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
    this.#tell("state", { state: "connecting" });
  }

  /** Leave for good; the session ends. */
  close() {
    clearTimeout(this.#retry);
    this.#socket?.close(1000);
    this.#lost(1000);
  }

  /** Send a piece of transcript. @param {Chunk} chunk */
  chunk(chunk) {
    this.#send({ type: "asr_chunk", ...chunk });
  }

  /** Act on the session. @param {Action} action @param {{text?: string, id?: string}} [fields] */
  control(action, fields = {}) {
    this.#send({ type: "control", action, ...fields });
  }

  /** Set what is given; it is set again in every new session of this client. @param {SessionSettings} settings */
  configure(settings) {
    this.#settings = { ...this.#settings, ...settings };
    if (this.#is_open) this.#send({ type: "configure", ...settings });
  }

  #send(message) {
    if (!this.#is_open) {
      if (message.type !== "asr_chunk" || message.is_final) this.#waiting.push(message);
      this.#waiting.splice(0, this.#waiting.length - MOST_WAITING);
      return;
    }
    const data = JSON.stringify(message);
    this.#socket?.send(data);
    this.#tell("frame", { direction: "out", frame: message, size: size(data) });
  }

  #receive(data) {
    const frame = JSON.parse(data);
    this.#is_silent = false;
    if (frame.seq) this.#last = frame;
    this.#tell("frame", { direction: "in", frame, size: size(data) });
    // Only the first one: a resumed session may repeat the one it began with.
    if (!this.#is_open && frame.message === "connected") this.#opened(frame);
    this.#tell(frame.type, frame);
  }

  #opened({ resumed = false, resume_token = "", reason }) {
    this.#resume_token = resume_token;
    this.#is_open = true;
    this.#attempts = 0;
    this.#tell("state", { state: "open", resumed, reason });
    if (Object.keys(this.#settings).length) this.#send({ type: "configure", ...this.#settings });
    for (const message of this.#waiting.splice(0)) this.#send(message);
    this.#heartbeat = setInterval(() => this.#beat(), this.#keepalive_ms);
  }

  /** A connection that is dead without a close frame shows only when it owes an answer. */
  #beat() {
    if (this.#is_silent) {
      this.#socket?.close();
      return this.#lost(1006);
    }
    this.#is_silent = true;
    this.#send({ type: "keepalive" });
  }

  #lost(code) {
    clearInterval(this.#heartbeat);
    this.#socket = null;
    this.#is_open = this.#is_silent = false;
    if (FINAL_CODES.has(code)) {
      this.#resume_token = "";
      this.#waiting = [];
      return this.#tell("state", { state: "closed", code });
    }
    // Half of the wait is chance: a thousand clients of a restarted service shall not come back at once.
    const longest = Math.min(30_000, 500 * 2 ** this.#attempts++);
    const retry_ms = Math.round(longest / 2 + (Math.random() * longest) / 2);
    this.#retry = setTimeout(() => this.connect(), retry_ms);
    this.#tell("state", { state: "waiting", code, retry_ms });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** The size on the wire in bytes. */
const size = (data) => new TextEncoder().encode(data).length;
