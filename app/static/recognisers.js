/**
 * What recognisers say, as chunks of transcript.
 *
 * Each function makes a mapper for one connection to its recogniser: `const chunksOf = deepgram()`, then for every message
 * `chunksOf(message).forEach((chunk) => rag.chunk(chunk))`. Make a new one when the recogniser starts anew: segment ids
 * begin with a prefix of their own, so that none repeats within a session. Messages without text give no chunk, and what
 * is odd about a message never costs its words: a field that cannot be read is left out.
 *
 * @typedef {import("./client.js").Chunk} Chunk
 */

let made = 0;

/** @returns {(id: string | number | undefined) => string | undefined} */
function prefixed() {
  const prefix = `r${++made}`;
  return (id) => (id === undefined ? undefined : `${prefix}-${id}`);
}

/**
 * A number, also as a text that begins with one, or as the object that a library makes of a large one.
 * @returns {number | undefined}
 */
function number(value) {
  const found = parseFloat(value?.toString?.());
  return Number.isFinite(found) ? found : undefined;
}

/** What is there of a list, if it is one. */
const list = (value) => Array.from(value ?? []).filter(Boolean);

const isText = (value) => typeof value === "string";

const NOBODY = new Set(["", "unknown", "uu", "-1"]);

/** @returns {string | undefined} who speaks, if it is known yet */
function nameOf(speaker) {
  if (!isText(speaker) && typeof speaker !== "number") return undefined;
  return NOBODY.has(String(speaker).toLowerCase()) ? undefined : String(speaker);
}

/** One chunk with what is known, none without words. @returns {Chunk[]} */
function said({ text, is_final, end_of_turn, segment_id, speaker, language, confidence, end_ms }) {
  if (!isText(text) || !text.trim()) return [];
  const sureness = number(confidence);
  return [
    {
      text,
      is_final: is_final === true,
      end_of_turn: end_of_turn === true,
      segment_id,
      speaker: nameOf(speaker),
      language: isText(language) && language ? language : undefined,
      // 0 says that it is not known.
      confidence: sureness > 0 && sureness <= 1 ? sureness : undefined,
      end_ms: Number.isFinite(end_ms) ? Math.round(end_ms) : undefined,
    },
  ];
}

/** @returns {number | undefined} */
function mean(values) {
  const known = values.map(number).filter((value) => value !== undefined);
  return known.length ? known.reduce((a, b) => a + b) / known.length : undefined;
}

/** The end of what was said, without text: it ends a wait and is no error. @type {Chunk} */
const FLUSH = { text: "", is_final: true, end_of_turn: true };

/** The partial just before was nothing, after all. @type {Chunk} */
const TAKEN_BACK = { text: "", is_final: false };

/** Web Speech API, `onresult` events. @param {{lang?: string}} [recognition] the object that fires them */
export function webSpeech(recognition) {
  const id = prefixed();
  return (event) => {
    const begin = number(event?.resultIndex) ?? 0;
    return list(event?.results).slice(begin).flatMap((result, i) =>
      said({
        text: result[0]?.transcript,
        is_final: result.isFinal,
        // Chrome on Android calls every interim result final, with a confidence of 0: the turn goes on.
        end_of_turn: result.isFinal && result[0]?.confidence > 0,
        segment_id: id(begin + i),
        language: recognition?.lang,
      }),
    );
  };
}

/**
 * Deepgram, live: `Results` and `UtteranceEnd` of Nova, `TurnInfo` of Flux. Channels are kept apart, and the speakers of
 * `diarize`.
 */
export function deepgram() {
  const id = prefixed();
  let speaker_now;
  return (message) => {
    if (message?.type === "UtteranceEnd") return [{ ...FLUSH, speaker: channelOf(message.channel) ?? speaker_now }];
    if (message?.type === "TurnInfo") return ofFlux(message, id);
    if (message?.type !== "Results") return [];
    const channel = channelOf(message.channel_index);
    const [best] = list(message.channel?.alternatives);
    if (!best?.transcript) return message.speech_final ? [{ ...FLUSH, speaker: channel ?? speaker_now }] : [];
    const start = number(message.start);
    const place = channel === undefined || start === undefined ? start : `${channel}-${start}`;
    const parts = channel === undefined ? bySpeaker(best) : [{ text: best.transcript, speaker: channel }];
    speaker_now = nameOf(parts.at(-1).speaker);
    return parts.flatMap(({ text, speaker, end = start + number(message.duration) }, i) =>
      said({
        text,
        is_final: message.is_final,
        // Whom somebody else follows is done, too.
        end_of_turn: message.speech_final || (message.is_final && i < parts.length - 1),
        segment_id: id(i && place !== undefined ? `${place}-${i}` : place),
        speaker,
        language: list(best.languages)[0],
        confidence: best.confidence,
        end_ms: end * 1000,
      }),
    );
  };
}

/** Flux repeats the whole turn as it grows. */
function ofFlux({ event, turn_index, transcript, words, languages, audio_window_end }, id) {
  const turn = number(turn_index);
  return said({
    text: transcript,
    is_final: event === "EndOfTurn",
    end_of_turn: event === "EndOfTurn" || event === "EagerEndOfTurn",
    segment_id: id(turn === undefined ? undefined : `t${turn}`),
    language: list(languages)[0],
    confidence: mean(list(words).map(({ confidence }) => confidence)),
    end_ms: number(audio_window_end) * 1000,
  });
}

/** @returns {string | undefined} the channel, where there are several */
const channelOf = (channel) => (channel?.[1] > 1 ? nameOf(channel[0]) : undefined);

/** What was said, cut where the speaker changes. */
function bySpeaker({ transcript, words }) {
  const parts = [];
  for (const { word, punctuated_word: text = word, speaker, end } of list(words)) {
    if (!isText(text)) continue;
    const last = parts.at(-1);
    if (last && last.speaker === speaker) Object.assign(last, { text: `${last.text} ${text}`, end: number(end) });
    else parts.push({ text, speaker, end: number(end) });
  }
  // Of one speaker all of it is taken as it is written.
  return parts.length > 1 ? parts : [{ text: transcript, speaker: parts[0]?.speaker }];
}

/**
 * AssemblyAI, streaming v3: `Turn`.
 * @param {{format_turns?: boolean}} [options] as the connection to it was opened
 */
export function assemblyAi({ format_turns = false } = {}) {
  const id = prefixed();
  return (message) => {
    if (message?.type !== "Turn") return [];
    const is_over = Boolean(message.end_of_turn && (message.turn_is_formatted || !format_turns));
    const words = list(message.words);
    // What is not sure yet stands among the words only.
    const growing = words.map(({ text }) => text).filter(isText).join(" ");
    return said({
      text: (!is_over && growing) || message.transcript,
      is_final: is_over,
      end_of_turn: is_over,
      segment_id: id(number(message.turn_order)),
      speaker: message.speaker_label,
      language: message.language_code,
      end_ms: number(words.at(-1)?.end),
    });
  };
}

/** Google Cloud Speech-to-Text v1 and v2: streaming responses, as JSON or as its libraries name the fields. */
export function google() {
  return (response) => {
    const chunks = [];
    for (const chunk of list(response?.results).flatMap(ofGoogle)) {
      const last = chunks.at(-1);
      // Of what is not final yet the sure part comes first, then, as a result of its own, the rest.
      if (last && !last.is_final && !chunk.is_final && last.speaker === chunk.speaker)
        Object.assign(last, chunk, { text: last.text + chunk.text });
      else chunks.push(chunk);
    }
    return chunks;
  };
}

function ofGoogle(result) {
  const is_final = result.is_final ?? result.isFinal ?? false;
  const [best] = list(result.alternatives);
  const end = result.result_end_time ?? result.resultEndTime ?? result.result_end_offset ?? result.resultEndOffset;
  return said({
    text: best?.transcript,
    is_final,
    end_of_turn: is_final,
    confidence: is_final ? best?.confidence : undefined,
    // Channels count from 1.
    speaker: (result.channel_tag ?? result.channelTag) || undefined,
    language: result.language_code ?? result.languageCode,
    end_ms: milliseconds(end),
  });
}

/** "1.5s", or `{seconds, nanos}`, of which `seconds` may be a string or an object of its own. */
function milliseconds(duration) {
  if (!duration || typeof duration !== "object") return number(duration) * 1000;
  return number(duration.seconds ?? 0) * 1000 + Math.round(number(duration.nanos ?? 0) / 1e6);
}

/** Azure Speech SDK: the events of `recognizing`, `recognized`, `transcribing` and `transcribed`. */
export function azure() {
  const id = prefixed();
  // ResultReason of the SDK
  const NO_MATCH = 0;
  const RECOGNIZED_SPEECH = 3;
  return (event) => {
    const result = event?.result ?? {};
    if (result.reason === NO_MATCH) return [TAKEN_BACK];
    const is_final = result.reason === RECOGNIZED_SPEECH;
    const offset = number(result.offset);
    return said({
      text: result.text,
      is_final,
      end_of_turn: is_final,
      // Not resultId: all that is said until the service's next turn shares one.
      segment_id: id(offset),
      speaker: result.speakerId,
      language: result.language,
      end_ms: (offset + number(result.duration)) / 10_000,
    });
  };
}

const SENSE_VOICE_TAGS = /<\|[^|]*\|>/g;

/** FunASR: an online message is only what came new, an offline one all of it, corrected. */
export function funAsr() {
  let heard = "";
  return (message) => {
    const text = isText(message?.text) ? message.text.replace(SENSE_VOICE_TAGS, "") : "";
    if (message?.mode === "2pass-offline" || message?.mode === "offline") {
      const final = said({ text, is_final: true, end_of_turn: true, speaker: message.spk_name });
      // Partials are nobody's: what does not follow as nobody's final was no question of its own.
      const is_left = heard.trim() && (!final.length || final[0].speaker);
      heard = "";
      return is_left ? [TAKEN_BACK, ...final] : final;
    }
    if (message?.mode !== "2pass-online" && message?.mode !== "online") return [];
    heard += text;
    // Without a second pass, the end of the audio is the end of what was said.
    const is_over = message.mode === "online" && message.is_final;
    const chunks = said({ text: heard, is_final: is_over, end_of_turn: is_over });
    if (is_over) heard = "";
    return chunks;
  };
}

/** Vosk server. */
export function vosk() {
  return (message) => {
    const { text, partial, result } = list(message?.alternatives)[0] ?? message ?? {};
    if (text === undefined) return said({ text: partial, is_final: false });
    const words = list(result);
    return said({
      text,
      is_final: true,
      end_of_turn: true,
      confidence: mean(words.map(({ conf }) => conf)),
      end_ms: number(words.at(-1)?.end) * 1000,
    });
  };
}
