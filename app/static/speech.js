/** Three ways to say something: by voice, word by word, and from a recording. */

import { byId } from "./dom.js";
import { t } from "./i18n.js";
import { webSpeech } from "./recognisers.js";

/** @typedef {import("./client.js").Chunk} Chunk */

const WORD_MS = 110;

/** Listens with the browser's own recogniser until it is told to stop. */
export class Microphone {
  #say;
  #recognition;
  #is_on = false;
  #button = byId("mic");
  #language = byId("speech-language");

  /** @param {(chunk: Chunk) => void} say */
  constructor(say) {
    this.#say = say;
    const Recognition = globalThis.SpeechRecognition ?? globalThis.webkitSpeechRecognition;
    const fitting = [...this.#language.options].find(({ value }) => navigator.language.startsWith(value.slice(0, 2)));
    if (fitting) this.#language.value = fitting.value;
    if (!Recognition) {
      this.#button.disabled = true;
      byId("mic-hint").textContent = t("mic_missing");
      byId("mic-hint").classList.add("important");
      return;
    }
    byId("mic-hint").textContent = t("mic_hint");
    this.#recognition = new Recognition();
    this.#recognition.continuous = true;
    this.#recognition.interimResults = true;
    this.#recognition.onerror = ({ error }) => this.#failed(error);
    // Browsers end a recognition by themselves after a silence.
    this.#recognition.onend = () => this.#is_on && this.#listen();
    this.#button.onclick = () => (this.#is_on ? this.#stop() : this.#start());
    this.#language.onchange = () => this.#recognition.stop();
  }

  #start() {
    byId("mic-hint").textContent = t("mic_hint");
    byId("mic-hint").classList.remove("important");
    this.#show(true);
    this.#listen();
  }

  #listen() {
    this.#recognition.lang = this.#language.value;
    const chunksOf = webSpeech(this.#recognition);
    this.#recognition.onresult = (event) => chunksOf(event).forEach(this.#say);
    this.#recognition.start();
  }

  #stop() {
    this.#show(false);
    this.#recognition.stop();
  }

  #failed(error) {
    if (error === "no-speech" || error === "aborted") return;
    this.#show(false);
    byId("mic-hint").textContent = t(`mic.${error}`);
    byId("mic-hint").classList.add("important");
  }

  #show(is_on) {
    this.#is_on = is_on;
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

/**
 * Read a recording: JSON lines with times, a file of frames, or plain text with one final a line.
 * Throws a `RangeError` whose message is the number of the line that is not understood.
 * @param {string} file @returns {{at_ms: number, chunk: Chunk}[]}
 */
export function readRecording(file) {
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
