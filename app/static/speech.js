/** Three ways to say something: by voice, word by word, and from a recording. */

import { byId } from "./dom.js";
import { Hearing } from "./hearing.js";
import { t } from "./i18n.js";

/** @typedef {import("./client.js").Chunk} Chunk */

const WORD_MS = 110;
const QUIET_DB = 60;

/** Listens with the browser's recogniser, or with one's own, until it is told to stop. */
export class Microphone {
  #say;
  #recognition;
  #chunksOf = () => [];
  #chunksFrom;
  #is_on = false;
  /** @type {import("./ears.js").Ears | undefined} */
  #ears;
  #hearing = new Hearing(() => this.#offer());
  #button = byId("mic");
  #language = byId("speech-language");

  /** @param {(chunk: Chunk) => void} say */
  constructor(say) {
    this.#say = say;
    const Recognition = globalThis.SpeechRecognition ?? globalThis.webkitSpeechRecognition;
    const fitting = [...this.#language.options].find(({ value }) => navigator.language.startsWith(value.slice(0, 2)));
    if (fitting) this.#language.value = fitting.value;
    if (Recognition) this.#prepare(new Recognition());
    this.#button.onclick = () => (this.#is_on ? this.#stop() : this.#start());
    this.#language.onchange = () => (this.#ears ? this.#offer() : this.#recognition?.stop());
    this.#offer();
  }

  #prepare(recognition) {
    this.#recognition = recognition;
    recognition.continuous = true;
    recognition.interimResults = true;
    recognition.onerror = ({ error }) => this.#failed(error);
    recognition.onresult = (event) => this.#hear(event);
    recognition.onend = () => {
      this.#hear({ type: "end" });
      // Browsers end a recognition by themselves after a silence.
      if (this.#is_on && !this.#ears) this.#listen();
    };
  }

  /** What is chosen is there to be used; what has been in use until now is not. */
  #offer() {
    if (this.#is_on) this.#stop();
    const { kind, problem, url } = this.#hearing;
    const can_be_used = kind ? !problem : this.#recognition;
    this.#button.disabled = byId("welcome-mic").hidden = !can_be_used;
    if (kind) this.#hint(problem || t("ears.listening", { host: url.host }), problem);
    else this.#hint(t(can_be_used ? "mic_hint" : "mic_missing"), !can_be_used);
  }

  #hint(words, is_important = false) {
    byId("mic-hint").textContent = words;
    byId("mic-hint").classList.toggle("important", Boolean(is_important));
  }

  async #start() {
    if (this.#hearing.kind) return this.#open();
    // The mappers of all recognisers are a tenth of the page: only who speaks needs them.
    const part = await import("./recognisers.js").catch(() => undefined);
    if (!part) return this.#failed("not-loaded");
    this.#chunksFrom = () => part.webSpeech(this.#recognition);
    this.#hint(t("mic_hint"));
    this.#show(true);
    this.#listen();
  }

  async #open() {
    if (!navigator.mediaDevices) return this.#hint(t("ears.insecure"), true);
    this.#show(true);
    const { kind, url, device } = this.#hearing;
    const part = await import("./ears.js").catch(() => undefined);
    if (!part) return this.#failed("not-loaded");
    if (!this.#is_on) return;
    const tell = (state, ms, why) => {
      if (this.#ears !== ears) return;
      if (state === "gone") return this.#failed("audio-capture");
      const key = state === "lost" && why ? "refuses" : state;
      this.#hint(t(`ears.${key}`, { host: url.host, seconds: ms / 1000, why }), state === "lost" || state === "complains");
    };
    const ears = new part.Ears({ kind, url, language: this.#language.value.slice(0, 2), say: this.#say, tell, level: (db) => this.#ears === ears && this.#meter(db) });
    this.#ears = ears;
    try {
      await ears.start(device);
      await this.#hearing.showDevices();
    } catch ({ name }) {
      if (this.#ears === ears) this.#failed(name === "NotAllowedError" ? "not-allowed" : "audio-capture");
    }
  }

  #listen() {
    this.#recognition.lang = this.#language.value;
    this.#chunksOf = this.#chunksFrom();
    this.#recognition.start();
  }

  #hear(event) {
    this.#chunksOf(event).forEach(this.#say);
  }

  #stop() {
    this.#show(false);
    if (!this.#ears) return this.#recognition?.stop();
    this.#ears.stop();
    this.#ears = undefined;
    this.#offer();
  }

  #failed(error) {
    if (error === "no-speech" || error === "aborted") return;
    this.#show(false);
    this.#ears = undefined;
    this.#hint(t(`mic.${error}`), true);
  }

  /** What is louder than a whisper is seen. @param {number} db */
  #meter(db) {
    const level = Math.min(1, Math.max(0, 1 + db / QUIET_DB));
    byId("level").hidden = false;
    byId("level").value = level;
    this.#button.style.setProperty("--level", level.toFixed(2));
  }

  #show(is_on) {
    this.#is_on = is_on;
    byId("level").hidden = true;
    this.#button.style.removeProperty("--level");
    this.#button.setAttribute("aria-pressed", String(is_on));
    this.#button.setAttribute("aria-label", t(is_on ? "mic_on" : "mic_off"));
  }
}

/** Pieces that a text grows by: words, also of languages that write none apart. @param {string} text @returns {string[]} */
function growing(text) {
  const words = [...new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)];
  return words.filter((word) => word.isWordLike).map(({ index, segment }) => text.slice(0, index + segment.length));
}

/**
 * A text as a recogniser would report it: longer and longer, then whole.
 * @param {string} text @returns {{at_ms: number, chunk: Chunk}[]}
 */
export function wordByWord(text) {
  const pieces = growing(text);
  return [
    ...pieces.map((piece, i) => ({ at_ms: i * WORD_MS, chunk: { text: piece, is_final: false } })),
    { at_ms: pieces.length * WORD_MS, chunk: { text, is_final: true } },
  ];
}

const CUE = /^(?:(\d+):)?(\d\d):(\d\d)[.,](\d{3}) +--> +(?:(\d+):)?(\d\d):(\d\d)[.,](\d{3})/;
const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&nbsp;": " ", "&lrm;": "\u200e", "&rlm;": "\u200f" };

const milliseconds = ([hours = 0, minutes, seconds, rest]) => ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000 + Number(rest);

/** Subtitles, SubRip or WebVTT: each cue is heard word by word in its time, and final at its end. */
function readSubtitles(file) {
  const steps = file.split(/\n\s*\n/).flatMap((block) => {
    const lines = block.split("\n").map((line) => line.trim());
    const at = lines.findIndex((line) => CUE.test(line));
    if (at < 0) return []; // a header, a style or a note
    const [, ...times] = lines[at].match(CUE);
    const [begin, end] = [milliseconds(times.slice(0, 4)), milliseconds(times.slice(4))];
    const marked = lines.slice(at + 1).join(" ");
    const [, speaker] = marked.match(/<v(?:\.[^ >]*)? ([^>]+)>/) ?? [];
    const text = marked.replace(/<[^>]*>|\{\\[^}]*\}/g, "").replace(/&\w+;/g, (each) => ENTITIES[each] ?? each).trim();
    if (!text) return [];
    const pieces = growing(text);
    const who = speaker && { speaker: speaker.trim() };
    return [
      ...pieces.map((piece, i) => ({ at_ms: begin + ((end - begin) * i) / pieces.length, chunk: { text: piece, is_final: false, ...who } })),
      { at_ms: end, chunk: { text, is_final: true, end_ms: end, ...who } },
    ];
  });
  return steps.sort((one, other) => one.at_ms - other.at_ms);
}

/**
 * Read a recording: JSON lines with times, a file of frames, subtitles, or plain text with one final a line.
 * Throws a `RangeError` whose message is the number of the line that is not understood.
 * @param {string} file @returns {{at_ms: number, chunk: Chunk}[]}
 */
export function readRecording(file) {
  file = file.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n");
  if (/^WEBVTT(?:\s|$)/.test(file) || file.split("\n", 3).some((line) => CUE.test(line.trim()))) return readSubtitles(file);
  const lines = file.split("\n").map((line, i) => ({ line: line.trim(), number: i + 1 }));
  const said = lines.filter(({ line }) => line);
  if (!said[0]?.line.startsWith("{")) {
    return said.map(({ line }, i) => ({ at_ms: i * 2500, chunk: { text: line, is_final: true } }));
  }
  return said.flatMap(({ line, number }) => {
    try {
      return stepOf(JSON.parse(line));
    } catch {
      throw new RangeError(String(number));
    }
  });
}

function stepOf({ at_ms = 0, direction, frame, asks: _, ...chunk }) {
  if (direction === "in" || (frame && frame.type !== "asr_chunk")) return [];
  const { type: _type, id: _id, session_id: _session_id, ...fields } = frame ?? chunk;
  if (typeof fields.text !== "string") throw new TypeError("a line without text");
  return [{ at_ms, chunk: fields }];
}

let played = 0;

/** Says what a recording says, in its time. */
export class Player {
  #say;
  #timers = [];
  /** Called when it ends, by itself or not. */
  onend = () => {};

  /** @param {(chunk: Chunk) => void} say */
  constructor(say) {
    this.#say = say;
  }

  get is_playing() {
    return this.#timers.length > 0;
  }

  /** @param {{at_ms: number, chunk: Chunk}[]} steps @param {number} [speed] */
  play(steps, speed = 1) {
    this.stop();
    const prefix = `p${++played}`;
    const begin = Math.min(...steps.map(({ at_ms }) => at_ms));
    this.#timers = steps.map(({ at_ms, chunk }, i) =>
      setTimeout(
        () => {
          const { segment_id } = chunk;
          // A recording that is played again says new things, not the same ones corrected.
          this.#say(segment_id === undefined ? chunk : { ...chunk, segment_id: `${prefix}-${segment_id}` });
          if (i === steps.length - 1) this.stop();
        },
        (at_ms - begin) / speed,
      ),
    );
  }

  stop() {
    if (!this.is_playing) return;
    this.#timers.forEach(clearTimeout);
    this.#timers = [];
    this.onend();
  }
}
