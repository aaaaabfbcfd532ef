/**
 * A microphone, and a recogniser of one's own behind a WebSocket that hears it: sound goes there, chunks come back.
 *
 * @typedef {import("./client.js").Chunk} Chunk
 *
 * `opening` is said first; `isReady` knows the message to wait for before the first sound, `isOver` the last one, without
 * which the recogniser closes; `wrap` makes a frame of a piece.
 * @typedef {{mapper: () => (message: unknown) => Chunk[], opening?: (language?: string) => object, subprotocols?: string[],
 *   isReady?: (message: any) => boolean, wrap?: (piece: ArrayBuffer) => BufferSource, closing: string | BufferSource,
 *   isOver?: (message: any) => boolean}} Ear
 */

import { complaint, funAsr, sherpaOnnx, vosk, whisperLive, whisperLiveKit } from "./recognisers.js";

/** Of 100 ms: what a new connection hears again, if it had no final. */
const PIECES_KEPT = 300;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8_000;
/** How long a recogniser may take to say the last of it. */
const LAST_MS = 10_000;
/** A minute of sound that a recogniser has not taken. */
const MOST_UNSENT = 4_000_000;

const floats = (piece) => Float32Array.from(new Int16Array(piece), (sample) => sample / 32_768);

/** The same as `listen` has of them. @type {Record<string, Ear>} */
export const EARS = {
  vosk: {
    mapper: vosk,
    opening: () => ({ config: { sample_rate: 16_000, words: true } }),
    // Compared as a text, with these very blanks.
    closing: '{"eof" : 1}',
  },
  funasr: {
    mapper: funAsr,
    opening: () => ({
      mode: "2pass",
      // Without it all sound is dropped.
      chunk_size: [5, 10, 5],
      chunk_interval: 10,
      wav_name: "listen",
      audio_fs: 16_000,
      itn: true,
      is_speaking: true,
    }),
    subprotocols: ["binary"],
    closing: '{"is_speaking": false, "is_end": true}',
    isOver: (message) => message?.is_end === true || (message?.is_final === true && !("mode" in message)),
  },
  whisperlive: {
    mapper: whisperLive,
    opening: (language) => ({
      uid: crypto.randomUUID(),
      language,
      task: "transcribe",
      model: "small",
      use_vad: true,
      send_last_n_segments: 10,
    }),
    isReady: (message) => message?.message === "SERVER_READY",
    wrap: floats,
    closing: new TextEncoder().encode("END_OF_AUDIO"),
    isOver: (message) => message?.message === "DISCONNECT",
  },
  whisperlivekit: {
    mapper: whisperLiveKit,
    isReady: (message) => message?.type === "config" && message.useAudioWorklet === true,
    closing: new ArrayBuffer(0),
    isOver: (message) => message?.type === "ready_to_stop",
  },
  "sherpa-onnx": { mapper: sherpaOnnx, wrap: floats, closing: "Done", isOver: (message) => message === "Done!" },
};

/** The mean power of a piece, in decibels below the loudest. @param {ArrayBuffer} piece */
function loudness(piece) {
  const power = new Int16Array(piece).reduce((sum, sample) => sum + (sample / 32_768) ** 2, 0) / (piece.byteLength / 2);
  return 10 * Math.log10(power);
}

function read(data) {
  const text = typeof data === "string" ? data : new TextDecoder().decode(data);
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** One time of listening: it begins with `start`, and ends with `stop`. */
export class Ears {
  #ear;
  #url;
  #language;
  #say;
  #tell;
  #level;
  /** @type {MediaStream | undefined} */
  #stream;
  /** @type {AudioContext | undefined} */
  #context;
  /** @type {WebSocket | undefined} */
  #socket;
  #is_ready = false;
  #is_stopped = false;
  #tries = 0;
  /** What the recogniser complained of last, if no words have followed. */
  #complaint = "";
  #timer = 0;
  /** The sound that no final has come of. @type {ArrayBuffer[]} */
  #kept = [];
  /** The partials that nothing has followed, by speaker. @type {Map<string | undefined, Chunk>} */
  #open = new Map();

  /**
   * @param {{kind: string, url: string | URL, language?: string, say: (chunk: Chunk) => void,
   *   tell?: (state: "connecting" | "listening" | "complains" | "lost" | "gone", ms?: number, why?: string) => void,
   *   level?: (db: number) => void}} options
   *   `kind` is one of `EARS`; `lost` comes with the milliseconds until the next try and, like `complains`, with what the
   *   recogniser says of it, if anything; `gone` is the microphone; `level` is told ten times a second how loud it is, in
   *   decibels below the loudest
   */
  constructor({ kind, url, language, say, tell = () => {}, level }) {
    this.#ear = EARS[kind];
    this.#url = url;
    this.#language = language;
    this.#say = say;
    this.#tell = tell;
    this.#level = level;
  }

  /** Listen. Rejects as `getUserMedia` does. @param {string} [device] the microphone, if it is not the usual one */
  async start(device) {
    const stream = await navigator.mediaDevices.getUserMedia({
      // Recognisers were taught with sound as it is.
      audio: { deviceId: device, channelCount: 1, echoCancellation: false, noiseSuppression: false },
    });
    this.#stream = stream;
    stream.getAudioTracks()[0].onended = () => {
      this.stop();
      this.#tell("gone");
    };
    try {
      // A browser that can makes better samples of this rate than we do.
      await this.#tap({ sampleRate: 16_000 }).catch(() => this.#tap({}));
    } catch (problem) {
      this.#release();
      throw problem;
    }
    if (this.#is_stopped) this.#release();
    else this.#connect();
  }

  /** Listen no more; what was said up to now is still heard. */
  stop() {
    if (this.#is_stopped) return;
    this.#is_stopped = true;
    clearTimeout(this.#timer);
    this.#release();
    if (!this.#is_ready) return this.#end();
    this.#write(this.#ear.closing);
    this.#timer = setTimeout(() => this.#end(), LAST_MS);
  }

  async #tap(options) {
    this.#context?.close();
    const context = (this.#context = new AudioContext(options));
    const source = context.createMediaStreamSource(this.#stream);
    await context.audioWorklet.addModule(new URL("./ears-worklet.js", import.meta.url));
    const pieces = new AudioWorkletNode(context, "pieces", { channelCount: 1, channelCountMode: "explicit" });
    pieces.port.onmessage = ({ data }) => this.#take(data);
    // It is silent: only what leads somewhere is run.
    source.connect(pieces).connect(context.destination);
  }

  #release() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    if (this.#context?.state !== "closed") this.#context?.close();
  }

  #take(piece) {
    if (this.#is_stopped) return;
    this.#level?.(loudness(piece));
    this.#kept.push(piece);
    if (this.#kept.length > PIECES_KEPT) this.#kept.shift();
    this.#send(piece);
  }

  #send(piece) {
    if (!this.#is_ready) return;
    this.#write(this.#ear.wrap?.(piece) ?? piece);
    if (this.#socket.bufferedAmount > MOST_UNSENT) this.#lost();
  }

  /** A socket that the recogniser is closing takes nothing, and the browser complains of it: `onclose` is on its way. */
  #write(frame) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(frame);
  }

  #connect() {
    this.#tell("connecting");
    const { mapper, opening, subprotocols, isReady, isOver } = this.#ear;
    const chunksOf = mapper();
    const socket = (this.#socket = new WebSocket(this.#url, subprotocols));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (opening) this.#write(JSON.stringify(opening(this.#language)));
      if (!isReady) this.#begin();
    };
    socket.onmessage = ({ data }) => {
      const message = read(data);
      if (!this.#is_ready && isReady?.(message)) this.#begin();
      this.#listenFor(complaint(message)?.text);
      chunksOf(message).forEach((chunk) => this.#hear(chunk));
      if (this.#is_stopped && isOver?.(message)) this.#end();
    };
    socket.onclose = ({ code, reason }) => (this.#is_stopped ? this.#end() : this.#lost(reason && `${reason} (${code})`));
  }

  #listenFor(why) {
    if (!why || this.#is_stopped) return;
    this.#complaint = why;
    this.#tell("complains", undefined, why);
  }

  #begin() {
    this.#is_ready = true;
    this.#tell("listening");
    this.#kept.forEach((piece) => this.#send(piece));
  }

  #hear(chunk) {
    this.#tries = 0;
    this.#complaint = "";
    if (chunk.is_final) this.#kept = [];
    if (chunk.is_final || !chunk.text) this.#open.delete(chunk.speaker);
    else this.#open.set(chunk.speaker, chunk);
    this.#say(chunk);
  }

  #lost(why) {
    this.#leave();
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#tries++);
    this.#tell("lost", pause, this.#complaint || why);
    this.#complaint = "";
    this.#timer = setTimeout(() => this.#connect(), pause);
  }

  #leave() {
    this.#is_ready = false;
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
  }

  /** Some recognisers never end what was said last. */
  #end() {
    clearTimeout(this.#timer);
    this.#leave();
    const open = [...this.#open.values()];
    this.#open.clear();
    open.forEach((chunk) => this.#say({ ...chunk, is_final: true }));
  }
}
