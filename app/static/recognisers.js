/**
 * What recognisers say, as chunks of transcript.
 *
 * Each function makes a mapper for one connection to its recogniser: `const chunksOf = deepgram()`, then for every message
 * `chunksOf(message).forEach((chunk) => rag.chunk(chunk))`. Make a new one when the recogniser starts anew: segment ids
 * begin with a prefix of their own, so that none repeats within a session. Messages without text give no chunk.
 *
 * @typedef {import("./client.js").Chunk} Chunk
 */

let made = 0;

/** @returns {(id: string | number) => string} */
function prefixed() {
  const prefix = `r${++made}`;
  return (id) => `${prefix}-${id}`;
}

/** @param {Chunk} chunk @returns {Chunk[]} */
const unlessEmpty = (chunk) => (chunk.text?.trim() ? [chunk] : []);

/** The end of what was said, without text: it ends a wait and is no error. @type {Chunk} */
const FLUSH = { text: "", is_final: true, end_of_turn: true };

/** Web Speech API, `onresult` events. @param {{lang?: string}} [recognition] the object that fires them */
export function webSpeech(recognition) {
  const id = prefixed();
  return (event) =>
    [...event.results].slice(event.resultIndex).flatMap((result, i) =>
      unlessEmpty({
        text: result[0].transcript,
        is_final: result.isFinal,
        // Chrome on Android calls every interim result final, with a confidence of 0: the turn goes on.
        end_of_turn: result.isFinal && result[0].confidence > 0,
        segment_id: id(event.resultIndex + i),
        language: recognition?.lang || undefined,
      }),
    );
}

/** Deepgram, live: `Results` and `UtteranceEnd`. */
export function deepgram() {
  const id = prefixed();
  return (message) => {
    if (message.type === "UtteranceEnd") return [FLUSH];
    if (message.type !== "Results") return [];
    const { transcript, confidence } = message.channel.alternatives[0];
    if (!transcript) return message.speech_final ? [FLUSH] : [];
    return [
      {
        text: transcript,
        is_final: message.is_final,
        end_of_turn: message.speech_final,
        segment_id: id(message.start),
        confidence,
        end_ms: Math.round((message.start + message.duration) * 1000),
      },
    ];
  };
}

/**
 * AssemblyAI, streaming v3: `Turn`.
 * @param {{format_turns?: boolean}} [options] as the connection to it was opened
 */
export function assemblyAi({ format_turns = false } = {}) {
  const id = prefixed();
  return (message) => {
    if (message.type !== "Turn") return [];
    const is_over = message.end_of_turn && (message.turn_is_formatted || !format_turns);
    return unlessEmpty({
      text: message.transcript,
      is_final: is_over,
      end_of_turn: is_over,
      segment_id: id(message.turn_order),
    });
  };
}

/** Google Cloud Speech-to-Text v1 and v2: streaming responses, as JSON or as its libraries name the fields. */
export function google() {
  return (response) =>
    (response.results ?? []).flatMap((result) => {
      const is_final = result.is_final ?? result.isFinal ?? false;
      const [best] = result.alternatives ?? [];
      const end = result.result_end_time ?? result.resultEndTime ?? result.result_end_offset ?? result.resultEndOffset;
      return unlessEmpty({
        text: best?.transcript ?? "",
        is_final,
        end_of_turn: is_final,
        // Of an interim result 0 is said, and of a final one whose confidence is unknown.
        confidence: (is_final && best?.confidence) || undefined,
        language: (result.language_code ?? result.languageCode) || undefined,
        end_ms: milliseconds(end),
      });
    });
}

/** "1.5s", or `{seconds, nanos}`, of which `seconds` may be a string. */
function milliseconds(duration) {
  if (duration === undefined || duration === null) return undefined;
  if (typeof duration === "string") return Math.round(parseFloat(duration) * 1000);
  return Number(duration.seconds ?? 0) * 1000 + Math.round((duration.nanos ?? 0) / 1e6);
}

/** Azure Speech SDK: the events of `recognizing`, `recognized`, `transcribing` and `transcribed`. */
export function azure() {
  const id = prefixed();
  const RECOGNIZED_SPEECH = 3; // ResultReason of the SDK
  return ({ result }) => {
    const is_final = result.reason === RECOGNIZED_SPEECH;
    return unlessEmpty({
      text: result.text ?? "",
      is_final,
      end_of_turn: is_final,
      // Not resultId: all that is said until the service's next turn shares one.
      segment_id: id(result.offset),
      speaker: result.speakerId || undefined,
      end_ms: Math.round((result.offset + result.duration) / 10_000),
    });
  };
}

/** FunASR in 2pass mode: an online message is only what came new, the offline one is all of it, corrected. */
export function funAsr() {
  let heard = "";
  return (message) => {
    if (message.mode === "2pass-offline") {
      heard = "";
      return unlessEmpty({ text: message.text, is_final: true, end_of_turn: true });
    }
    if (message.mode !== "2pass-online") return [];
    heard += message.text;
    return unlessEmpty({ text: heard, is_final: false });
  };
}

/** Vosk server. */
export function vosk() {
  return (message) => {
    const { text, result: words = [] } = message.alternatives?.[0] ?? message;
    if (text === undefined) return unlessEmpty({ text: message.partial ?? "", is_final: false });
    const sureness = words.map((word) => word.conf).filter((conf) => conf !== undefined);
    return unlessEmpty({
      text,
      is_final: true,
      end_of_turn: true,
      confidence: sureness.length ? sureness.reduce((a, b) => a + b) / sureness.length : undefined,
      end_ms: words.length ? Math.round(words.at(-1).end * 1000) : undefined,
    });
  };
}
