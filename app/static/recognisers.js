/**
 * What recognisers say, as chunks of transcript.
 *
 * Each function makes a mapper for one connection to its recogniser: `const chunksOf = deepgram()`, then for every message
 * `chunksOf(message).forEach((chunk) => rag.chunk(chunk))`. Make a new one when the recogniser starts anew: segment ids
 * begin with a prefix of their own, so that none repeats within a session. Messages without text give no chunk, unless
 * they take a partial back, and what is odd about a message never costs its words: a field that cannot be read is left out.
 *
 * @typedef {import("./client.js").Chunk} Chunk
 *
 * What a message says of one utterance, before it is a chunk. `id`: what the recogniser calls the utterance, `lane`: the
 * channel, where several people talk at once; `words`: `{text, start, end, sureness}`, times in seconds.
 * @typedef {{text: unknown, is_final?: unknown, end_of_turn?: unknown, id?: unknown, lane?: unknown, speaker?: unknown,
 *   language?: unknown, confidence?: unknown, end_ms?: number, words?: object[], is_flush?: boolean}} Heard
 */

/** A pause within a final, in milliseconds, that parts what was said before it from what was said after. */
const PAUSE_MS = 250;
const MARKED = /[.?!…](\s|$)|[。？！]/;
/** Of Whisper and SenseVoice. */
const TAGS = /<\|[^|]*\|>/g;

let made = 0;

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

/** @returns {string} the texts among these */
const joined = (texts, between = "") => texts.filter(isText).join(between);

const NOBODY = new Set(["", "unknown", "uu", "-1"]);

/** @returns {string | undefined} who speaks, or what is spoken in, if it is known yet */
function nameOf(name) {
  if (!isText(name) && typeof name !== "number") return undefined;
  return NOBODY.has(String(name).toLowerCase()) ? undefined : String(name);
}

/** @returns {number | undefined} */
function mean(values) {
  const known = values.map(number).filter((value) => value !== undefined);
  return known.length ? known.reduce((a, b) => a + b) / known.length : undefined;
}

/** @returns {string | undefined} whom most of these name */
function most(values) {
  const named = values.map(nameOf).filter(Boolean);
  const count = (name) => named.filter((each) => each === name).length;
  return named.reduce((best, name) => (count(name) > count(best) ? name : best), named[0]);
}

/** Of models that know capitals only. */
const lowered = (text) => (isText(text) && text === text.toUpperCase() ? text.toLowerCase() : text);

const timed = (words, text, unit = 1, sureness = "confidence") =>
  list(words).map((word) => ({
    text: word[text],
    start: number(word.start) / unit,
    end: number(word.end) / unit,
    sureness: word[sureness],
  }));

/** A final without marks, cut at the pauses in it: a question may stand behind a statement. @returns {Heard[]} */
function cut(heard) {
  const { text, words = [], is_final, end_of_turn } = heard;
  const tokens = text.split(/\s+/);
  if (!is_final || tokens.length !== words.length || MARKED.test(text)) return [heard];
  const begins = words.flatMap(({ start }, i) =>
    i === 0 || Math.round((start - words[i - 1].end) * 1000) >= PAUSE_MS ? [i] : [],
  );
  return begins.map((begin, i) => {
    const part = words.slice(begin, begins[i + 1]);
    return {
      ...heard,
      text: tokens.slice(begin, begins[i + 1]).join(" "),
      end_of_turn: end_of_turn && i === begins.length - 1,
      confidence: mean(part.map(({ sureness }) => sureness)) ?? heard.confidence,
      end_ms: part.at(-1).end * 1000,
    };
  });
}

/**
 * A mapper of what `read` finds in a message: ids where there are none, partials that are news, or taken back.
 * @param {(message: any) => Heard[]} read @returns {(message: unknown) => Chunk[]}
 */
function mapper(read) {
  const prefix = `r${++made}`;
  let utterances = 0;
  /** The id of what is being said, by channel. */
  const open = new Map();
  /** The partials that no final has followed, by id. */
  const partials = new Map();

  function chunksOf({ text, is_flush, id, lane, speaker, ...heard }) {
    const said = isText(text) ? text.replace(TAGS, "").trim() : "";
    const who = nameOf(speaker);
    if (is_flush) {
      partials.delete(open.get(lane));
      open.delete(lane);
      return [{ text: "", is_final: true, end_of_turn: true, speaker: who }];
    }
    const is_known = number(id) !== undefined || (isText(id) && id);
    const own = is_known ? `${prefix}-${id}` : (open.get(lane) ?? (said && `${prefix}-u${utterances++}`));
    const before = partials.get(own);
    const taken_back = before && { text: "", is_final: false, segment_id: own, speaker: before.speaker };
    if (!said || heard.is_final === true) {
      partials.delete(own);
      if (open.get(lane) === own) open.delete(lane);
    }
    if (!said) return before ? [taken_back] : [];
    const chunks = cut({ ...heard, text: said }).map((part, i) => chunk(part, i ? `${own}-${i}` : own, who));
    if (heard.is_final !== true) {
      if (before && before.text === said && before.speaker === who && before.end_of_turn === chunks[0].end_of_turn) return [];
      open.set(lane, own);
      partials.set(own, chunks[0]);
      if (partials.size > 64) partials.delete(partials.keys().next().value);
    }
    // The partial was somebody else's, as far as the service knows.
    return before && before.speaker !== who ? [taken_back, ...chunks] : chunks;
  }
  return (message) => read(message).flatMap(chunksOf);
}

/** @returns {Chunk} with what is known */
function chunk({ text, is_final, end_of_turn, language, confidence, end_ms }, segment_id, speaker) {
  const sureness = number(confidence);
  return {
    text,
    is_final: is_final === true,
    end_of_turn: end_of_turn === true || undefined,
    segment_id,
    speaker,
    language: nameOf(language),
    // 0 says that it is not known.
    confidence: sureness > 0 && sureness <= 1 ? sureness : undefined,
    end_ms: Number.isFinite(end_ms) ? Math.round(end_ms) : undefined,
  };
}

/**
 * Web Speech API: `onresult` events, and those of `onend`.
 * @param {{lang?: string}} [recognition] the object that fires them
 */
export function webSpeech(recognition) {
  let doubtful;
  return mapper((event) => {
    if (event?.type === "end") {
      const last = doubtful;
      doubtful = undefined;
      return last ? [{ ...last, is_final: true, end_of_turn: true }] : [];
    }
    const begin = number(event?.resultIndex) ?? 0;
    return list(event?.results).slice(begin).map((result, i) => {
      // Chrome on Android calls every interim result final, with a confidence of 0.
      const is_final = result.isFinal === true && result[0]?.confidence > 0;
      const heard = {
        text: result[0]?.transcript,
        is_final,
        end_of_turn: is_final,
        id: begin + i,
        language: recognition?.lang,
      };
      if (result.isFinal) doubtful = is_final ? undefined : heard;
      return heard;
    });
  });
}

/**
 * Deepgram, live: `Results` and `UtteranceEnd` of Nova, `TurnInfo` of Flux. Channels are kept apart, and the speakers of
 * `diarize`.
 */
export function deepgram() {
  let speaker_now;
  return mapper((message) => {
    if (message?.type === "TurnInfo") return ofFlux(message);
    const lane = channelOf(message?.channel_index ?? message?.channel);
    const flush = { is_flush: true, lane, speaker: lane ?? speaker_now };
    if (message?.type === "UtteranceEnd") return [flush];
    if (message?.type !== "Results") return [];
    const [best] = list(message.channel?.alternatives);
    const start = number(message.start);
    const place = start === undefined ? undefined : joined([lane, String(start)], "-");
    const { is_final, speech_final } = message;
    if (!isText(best?.transcript) || !best.transcript.trim())
      return [{ text: "", id: place, lane }, ...(speech_final ? [flush] : [])];
    const words = list(best.words);
    const parts = lane === undefined && is_final ? bySpeaker(words) : [];
    // Of one speaker all of it is taken as it is written.
    if (parts.length < 2)
      parts.splice(0, 1, { text: best.transcript, words, speaker: lane ?? most(words.map(({ speaker }) => speaker)) });
    speaker_now = parts.at(-1).speaker;
    return parts.map((part, i) => ({
      ...part,
      is_final,
      // Whom somebody else follows is done, too.
      end_of_turn: speech_final || (is_final && i < parts.length - 1),
      id: i && place !== undefined ? `${place}-s${i}` : place,
      lane,
      language: list(best.languages)[0],
      confidence: best.confidence,
      end_ms: parts.length > 1 ? number(part.words.at(-1).end) * 1000 : (start + number(message.duration)) * 1000,
      words: timed(part.words, "word"),
    }));
  });
}

/** Flux repeats the whole turn as it grows. @returns {Heard[]} */
function ofFlux({ event, turn_index, transcript, words, languages, audio_window_end }) {
  const turn = number(turn_index);
  return [
    {
      text: transcript,
      is_final: event === "EndOfTurn",
      end_of_turn: event === "EndOfTurn" || event === "EagerEndOfTurn",
      id: turn === undefined ? undefined : `t${turn}`,
      language: list(languages)[0],
      confidence: mean(list(words).map(({ confidence }) => confidence)),
      end_ms: number(audio_window_end) * 1000,
    },
  ];
}

/** @returns {string | undefined} the channel, where there are several */
const channelOf = (channel) => (channel?.[1] > 1 ? nameOf(channel[0]) : undefined);

/** What was said, cut where the speaker changes. */
function bySpeaker(words) {
  const parts = [];
  for (const word of words) {
    const text = word.punctuated_word ?? word.word;
    if (!isText(text)) continue;
    const last = parts.at(-1);
    if (last && last.speaker === word.speaker) {
      last.text += ` ${text}`;
      last.words.push(word);
    } else parts.push({ text, words: [word], speaker: word.speaker });
  }
  return parts;
}

/**
 * AssemblyAI, streaming v3: `Turn`.
 * @param {{format_turns?: boolean}} [options] as the connection to it was opened
 */
export function assemblyAi({ format_turns = false } = {}) {
  return mapper((message) => {
    if (message?.type !== "Turn") return [];
    const is_over = Boolean(message.end_of_turn && (message.turn_is_formatted || !format_turns));
    const words = timed(message.words, "text", 1000);
    // What is not sure yet stands among the words only.
    const growing = joined(words.map(({ text }) => text), " ");
    return [
      {
        text: (!is_over && growing) || message.transcript,
        is_final: is_over,
        end_of_turn: is_over,
        id: number(message.turn_order),
        speaker: message.speaker_label,
        language: message.language_code,
        end_ms: words.at(-1)?.end * 1000,
        words,
      },
    ];
  });
}

/** Google Cloud Speech-to-Text v1 and v2: streaming responses, as JSON or as its libraries name the fields. */
export function google() {
  return mapper((response) => {
    const heard = [];
    for (const result of list(response?.results).map(ofGoogle)) {
      const last = heard.at(-1);
      // Of what is not final yet the sure part comes first, then, as a result of its own, the rest.
      if (last && !last.is_final && !result.is_final && last.lane === result.lane)
        Object.assign(last, result, { text: joined([last.text, result.text]) });
      else heard.push(result);
    }
    return heard;
  });
}

function ofGoogle(result) {
  const is_final = result.is_final ?? result.isFinal ?? false;
  const [best] = list(result.alternatives);
  const end = result.result_end_time ?? result.resultEndTime ?? result.result_end_offset ?? result.resultEndOffset;
  // Channels count from 1.
  const lane = nameOf((result.channel_tag ?? result.channelTag) || undefined);
  return {
    text: best?.transcript,
    is_final,
    confidence: is_final ? best?.confidence : undefined,
    lane,
    speaker: lane,
    language: result.language_code ?? result.languageCode,
    end_ms: milliseconds(end),
    words: list(best?.words).map((word) => ({
      start: milliseconds(word.start_time ?? word.startTime ?? word.start_offset ?? word.startOffset) / 1000,
      end: milliseconds(word.end_time ?? word.endTime ?? word.end_offset ?? word.endOffset) / 1000,
      sureness: word.confidence || undefined,
    })),
  };
}

/** "1.5s", or `{seconds, nanos}`, of which `seconds` may be a string or an object of its own. */
function milliseconds(duration) {
  if (!duration || typeof duration !== "object") return number(duration) * 1000;
  return number(duration.seconds ?? 0) * 1000 + Math.round(number(duration.nanos ?? 0) / 1e6);
}

/** Azure Speech SDK: the events of `recognizing`, `recognized`, `transcribing` and `transcribed`. */
export function azure() {
  // ResultReason of the SDK
  const NO_MATCH = 0;
  const RECOGNIZED_SPEECH = 3;
  return mapper((event) => {
    const { reason, text, offset, duration, speakerId, language } = event?.result ?? {};
    if (reason === NO_MATCH) return [{ text: "" }];
    return [
      {
        text,
        is_final: reason === RECOGNIZED_SPEECH,
        // Not resultId: all that is said until the service's next turn shares one.
        id: number(offset),
        speaker: speakerId,
        language,
        end_ms: (number(offset) + number(duration)) / 10_000,
      },
    ];
  });
}

/** FunASR: an online message is only what came new, an offline one all of it, corrected. */
export function funAsr() {
  let heard = "";
  let sentence;
  return mapper((message) => {
    const { text, mode, is_final } = message ?? {};
    const of = { id: number(message?.index), speaker: message?.spk_name, end_ms: number(message?.end_time) };
    if (mode === "2pass-offline" || mode === "offline") {
      if (of.id === undefined || of.id === sentence) heard = "";
      return [{ ...of, text, is_final: true }];
    }
    if (mode !== "2pass-online" && mode !== "online") return [];
    if (of.id !== sentence) heard = "";
    sentence = of.id;
    heard += isText(text) ? text : "";
    const whole = heard;
    // Without a second pass, the end of the audio is the end of what was said.
    const is_over = mode === "online" && is_final;
    if (is_over) heard = "";
    return [{ ...of, text: whole, is_final: is_over }];
  });
}

/** Vosk server. */
export function vosk() {
  return mapper((message) => {
    const { text, partial, result } = list(message?.alternatives)[0] ?? message ?? {};
    if (text === undefined) return [{ text: lowered(partial) }];
    const words = timed(result, "word", 1, "conf");
    return [
      {
        text: lowered(text),
        is_final: true,
        confidence: mean(words.map(({ sureness }) => sureness)),
        end_ms: words.at(-1)?.end * 1000,
        words,
      },
    ];
  });
}

/** WhisperLive: its last ten segments, again and again. */
export function whisperLive() {
  let language;
  let done = new Set();
  return mapper((message) => {
    if (isText(message?.language)) ({ language } = message);
    const heard = list(message?.segments).map(({ start, end, text, completed, speaker, words }) => {
      const said = timed(words, "word", 1, "probability");
      return {
        text,
        is_final: completed === true,
        id: number(start),
        speaker,
        language,
        confidence: mean(said.map(({ sureness }) => sureness)),
        end_ms: number(end) * 1000,
        words: said,
      };
    });
    const before = done;
    if (heard.length) done = new Set(heard.filter(({ is_final }) => is_final).map(({ id, text }) => id ?? text));
    return heard.filter(({ id, text }) => !before.has(id ?? text));
  });
}

/** WhisperLiveKit, `/asr?mode=full`: all lines each time, of which old ones change and disappear. */
export function whisperLiveKit() {
  const SILENCE = -2;
  let lines_known = 0;
  let ids = new Map();
  let sent = new Map();
  let last;
  return mapper((message) => {
    if (message?.type === "ready_to_stop") return last ? [{ ...last, is_final: true }] : [];
    if (!Array.isArray(message?.lines)) return [];
    const known = ids;
    const said = sent;
    [ids, sent] = [new Map(), new Map()];
    const buffer = joined([message.buffer_diarization, message.buffer_transcription]);
    const heard = list(message.lines).flatMap(({ start, end, text, speaker, detected_language }, i, all) => {
      if (speaker === SILENCE || !isText(text) || !text.trim()) return [];
      // Starts are whole seconds: several lines may have the same one.
      let place = String(start);
      while (ids.has(place)) place += "+";
      ids.set(place, known.get(place) ?? lines_known++);
      const is_final = i < all.length - 1;
      if (is_final) sent.set(place, text);
      if (is_final && said.get(place) === text) return [];
      const id = ids.get(place);
      return [{ text, is_final, id, speaker, language: detected_language, end_ms: clock(end) }];
    });
    const growing = heard.at(-1);
    if (growing && !growing.is_final) growing.text += buffer;
    else if (buffer.trim()) heard.push({ text: buffer, id: lines_known });
    last = heard.at(-1)?.is_final === false ? heard.at(-1) : undefined;
    return heard;
  });
}

/** "0:01:02" @returns {number} milliseconds */
const clock = (time) => (isText(time) ? time.split(":").reduce((sum, part) => sum * 60 + parseFloat(part), 0) * 1000 : NaN);

/** whisper_streaming: lines, `1720 2500 the warranty?`. */
export function whisperStreaming() {
  return mapper((line) => {
    const [, , end, text] = /^\0*\s*([\d.]+)\s+([\d.]+)\s+(.*)/s.exec(isText(line) ? line : "") ?? [];
    return [{ text: text?.replaceAll("\0", ""), is_final: true, end_ms: number(end) }];
  });
}

/** RealtimeSTT: of its server `realtime` and `fullSentence`, of its page `realtime` and `final`. */
export function realtimeStt() {
  return mapper((message) => {
    const is_over = message?.type === "fullSentence" || message?.type === "final";
    if (!is_over && message?.type !== "realtime") return [];
    return [{ text: message.text, is_final: is_over, end_of_turn: is_over, id: message.segmentId }];
  });
}

/** sherpa-onnx, the servers in C++ and Python; the text `Done!` is the end of the audio. */
export function sherpaOnnx() {
  let last;
  return mapper((message) => {
    if (message === "Done!") {
      const ended = last ? [{ ...last, is_final: true }] : [];
      last = undefined;
      return ended;
    }
    if (!isText(message?.text)) return [];
    const heard = { text: lowered(message.text), is_final: message.is_final === true, id: number(message.segment) };
    // The server in Python does not say which text of a segment is the final one: the last.
    const is_next = last && heard.id !== undefined && last.id !== heard.id;
    const before = is_next ? [{ ...last, is_final: true }] : [];
    last = heard.is_final || !heard.text.trim() ? undefined : heard;
    return [...before, heard];
  });
}

/** Wyoming: events, with their data in `data` or beside the type. */
export function wyoming() {
  let heard = "";
  return mapper((event) => {
    const { text, language } = event?.data ?? event ?? {};
    const is_over = event?.type === "transcript" || event?.type === "transcript-stop";
    if (event?.type === "transcript-start") heard = "";
    if (event?.type === "transcript-chunk") heard += isText(text) ? text : "";
    else if (!is_over) return [];
    const whole = is_over && event.type === "transcript" ? text : heard;
    if (is_over) heard = "";
    return [{ text: whole, is_final: is_over, end_of_turn: is_over, language }];
  });
}

/** Speechmatics: finals of a few words each, which end with a sentence, an utterance or another speaker. */
export function speechmatics() {
  let blank = " ";
  let shown = "";
  let speaker_now;
  /** Words that are final, in a sentence that is not, by channel. */
  const said = new Map();
  const heard = (words, lane, ends) => {
    const { language, end } = words.at(-1) ?? {};
    return {
      ...ends,
      text: joined(words.map(({ text }) => text), blank),
      lane,
      speaker: lane ?? words.map(({ speaker }) => speaker).find(Boolean),
      language,
      confidence: ends.is_final ? mean(words.map(({ sureness }) => sureness)) : undefined,
      end_ms: end * 1000,
      words,
    };
  };
  return mapper((message) => {
    const { message: kind, results, channel, language_pack_info: about } = message ?? {};
    if (isText(about?.word_delimiter)) blank = about.word_delimiter;
    const all = [];
    const lane = nameOf(channel ?? list(results)[0]?.channel);
    const close = (words, lane, end_of_turn) => {
      if (words.length) all.push(heard(words.splice(0), lane, { is_final: true, end_of_turn }));
      else if (end_of_turn) all.push({ is_flush: true, lane, speaker: lane ?? speaker_now });
      speaker_now = all.at(-1)?.speaker ?? speaker_now;
    };
    if (kind === "EndOfTranscript") said.forEach((words, lane) => close(words, lane, true));
    if (kind === "EndOfUtterance") close(said.get(lane) ?? [], lane, true);
    if (kind !== "AddTranscript" && kind !== "AddPartialTranscript") return all;
    const is_sure = kind === "AddTranscript";
    const words = [...(said.get(lane) ?? [])];
    for (const { type, start_time, end_time, alternatives, attaches_to, is_eos } of list(results)) {
      const { content, confidence, speaker, language } = list(alternatives)[0] ?? {};
      if (!isText(content)) continue;
      const last = words.at(-1);
      const who = nameOf(speaker);
      if (type === "punctuation" && attaches_to === "previous" && last)
        words.splice(-1, 1, { ...last, text: last.text + content });
      else {
        if (is_sure && who && last?.speaker && who !== last.speaker) close(words, lane, true);
        const [start, end] = [number(start_time), number(end_time)];
        words.push({ text: content, start, end, sureness: confidence, speaker: who, language });
      }
      if (is_eos && is_sure) close(words, lane, false);
    }
    if (is_sure) said.set(lane, words);
    const open = heard(words, lane, {});
    // What is sure now was guessed with more behind it.
    if (is_sure && words.length && shown.startsWith(open.text)) return all;
    shown = open.text;
    return [...all, open];
  });
}

/** Gladia v2. @param {{channels?: number}} [options] as the session was made */
export function gladia({ channels = 1 } = {}) {
  return mapper((message) => {
    if (message?.type !== "transcript") return [];
    const { is_final, utterance } = message.data ?? {};
    const { text, end, confidence, channel, speaker, language, words } = utterance ?? {};
    const lane = channels > 1 ? nameOf(channel) : undefined;
    const of = { is_final, lane, speaker: lane ?? speaker, language, confidence, end_ms: number(end) * 1000 };
    // Whether a final keeps the id of its partials is not promised: ids are ours.
    return [{ ...of, text, words: timed(words, "word") }];
  });
}

/** Soniox: tokens, which are final once and until then come again and again. */
export function soniox() {
  const said = [];
  let speaker_now;
  const heard = (tokens, ends) => ({
    ...ends,
    text: joined(tokens.map(({ text }) => text)),
    speaker: tokens[0]?.speaker,
    language: tokens.at(-1)?.language,
    confidence: ends.is_final ? mean(tokens.map(({ confidence }) => confidence)) : undefined,
    end_ms: number(tokens.at(-1)?.end_ms),
  });
  return mapper((message) => {
    if (!Array.isArray(message?.tokens)) return [];
    const all = [];
    const close = (end_of_turn) => {
      if (said.length) all.push(heard(said.splice(0), { is_final: true, end_of_turn }));
      else if (end_of_turn) all.push({ is_flush: true, speaker: speaker_now });
      speaker_now = all.at(-1)?.speaker ?? speaker_now;
    };
    const growing = [];
    for (const token of list(message.tokens)) {
      if (!isText(token.text) || token.translation_status === "translation") continue;
      const is_other = said.length && nameOf(token.speaker) !== nameOf(said[0].speaker);
      if (token.text === "<end>" || token.text === "<fin>") close(token.text === "<end>");
      else if (!token.is_final) growing.push(token);
      else {
        if (is_other) close(true);
        said.push(token);
      }
    }
    if (message.finished) close(true);
    else all.push(heard([...said, ...growing], {}));
    return all;
  });
}

/** ElevenLabs Scribe, realtime. A commit may come twice, once more with times: the first one counts. */
export function elevenLabs() {
  return mapper((message) => {
    const is_final = message?.message_type === "committed_transcript";
    if (!is_final && message?.message_type !== "partial_transcript") return [];
    return [{ text: message.text, is_final, language: message.language_code }];
  });
}

/** OpenAI, realtime transcription. */
export function openAi() {
  const KIND = "conversation.item.input_audio_transcription.";
  const said = new Map();
  return mapper((event) => {
    const { type, item_id, delta, transcript } = event ?? {};
    if (!isText(type) || !type.startsWith(KIND)) return [];
    const kind = type.slice(KIND.length);
    const before = said.get(item_id) ?? "";
    said.delete(item_id);
    if (kind === "completed") return [{ text: transcript, is_final: true, end_of_turn: true, id: item_id }];
    if (kind === "failed") return [{ text: "", id: item_id }];
    said.set(item_id, before + (isText(delta) ? delta : ""));
    return kind === "delta" ? [{ text: said.get(item_id), id: item_id }] : [];
  });
}

/** Amazon Transcribe: the JSON of its `TranscriptEvent`. */
export function amazon() {
  return mapper((event) =>
    list((event?.Transcript ?? event)?.Results).map((result) => {
      const [best] = list(result.Alternatives);
      const words = list(best?.Items).filter(({ Type }) => Type !== "punctuation");
      const lane = nameOf(result.ChannelId);
      return {
        text: best?.Transcript,
        is_final: result.IsPartial === false,
        id: result.ResultId,
        lane,
        speaker: lane ?? most(words.map(({ Speaker }) => Speaker)),
        language: result.LanguageCode,
        confidence: mean(words.map(({ Confidence }) => Confidence)),
        end_ms: number(result.EndTime) * 1000,
        words: words.map(({ Content, StartTime, EndTime, Confidence }) => ({
          text: Content,
          start: number(StartTime),
          end: number(EndTime),
          sureness: Confidence,
        })),
      };
    }),
  );
}

/** Vexa, a meeting bot: segments that are mutable until they are `completed`. */
export function vexa() {
  return mapper((message) => {
    const is_over = message?.type === "transcript.finalized";
    if (!is_over && message?.type !== "transcript.mutable") return [];
    return list(message.payload?.segments ?? message.segments).map((segment) => {
      const lane = nameOf(segment.speaker);
      return {
        text: segment.text,
        is_final: is_over || segment.completed === true,
        id: isText(segment.segment_id) ? segment.segment_id : joined([lane, nameOf(number(segment.start))], "-"),
        lane,
        speaker: lane,
        language: segment.language,
        end_ms: number(segment.end_time ?? segment.end) * 1000,
      };
    });
  });
}

/** Recall.ai, a meeting bot: its real-time events `transcript.partial_data` and `transcript.data`. */
export function recall() {
  return mapper((message) => {
    const is_final = message?.event === "transcript.data";
    if (!is_final && message?.event !== "transcript.partial_data") return [];
    const { words, participant, language_code } = message.data?.data ?? {};
    const said = list(words).map(({ text, start_timestamp, end_timestamp }) => ({
      text,
      start: number(start_timestamp?.relative),
      end: number(end_timestamp?.relative),
    }));
    return [
      {
        text: joined(said.map(({ text }) => text), " "),
        is_final,
        lane: nameOf(participant?.id),
        speaker: participant?.name ?? participant?.id,
        language: language_code,
        end_ms: said.at(-1)?.end * 1000,
        words: said,
      },
    ];
  });
}

/** Attendee, a meeting bot: its webhook `transcript.update`, an utterance each. */
export function attendee() {
  return mapper((message) => {
    if (message?.trigger !== "transcript.update") return [];
    const { speaker_uuid, speaker_name, timestamp_ms, duration_ms, transcription } = message.data ?? {};
    const lane = nameOf(speaker_uuid) ?? nameOf(speaker_name);
    const start = number(timestamp_ms);
    return [
      {
        text: transcription?.transcript,
        is_final: true,
        // A webhook that had no reply comes again.
        id: start === undefined ? undefined : joined([lane, nameOf(start)], "-"),
        lane,
        speaker: nameOf(speaker_name) ?? lane,
        end_ms: start + number(duration_ms),
      },
    ];
  });
}

/** Zoom's real-time media streams: the transcript, an utterance of a participant each. */
export function zoom() {
  const transcript = 17;
  return mapper((message) => {
    if (number(message?.msg_type) !== transcript) return [];
    const { user_id, user_name, start_time, timestamp, data } = message.content ?? {};
    const lane = nameOf(user_id);
    const start = number(start_time ?? timestamp);
    return [
      {
        text: data,
        is_final: true,
        id: start === undefined ? undefined : joined([lane, nameOf(start)], "-"),
        lane,
        speaker: nameOf(user_name) ?? lane,
      },
    ];
  });
}

/** Said beside the words: the next words come all the same. */
const ASIDE = new Set(["warning", "wait", "commit_throttled", "insufficient_audio_activity", "audio_chunk"]);
const CODES = ["code", "error_code", "errorCode", "err_code", "status_code", "statusCode"];
const WORDS = ["reason", "description", "error_message", "err_msg", "errorDetails", "warning", "message", "text"];

/**
 * What a message of any recogniser complains of: for a person, with the recogniser's own code. After a fatal one it hears
 * no more.
 * @returns {{text: string, is_fatal: boolean} | undefined}
 */
export function complaint(message) {
  if (!message || typeof message !== "object" || Array.isArray(message)) return undefined;
  const { type, message: said, message_type, status } = message;
  const kinds = [type, said, message_type, status].map((kind) => String(kind ?? "").toLowerCase());
  const is_told = kinds.some((kind) => kind === "warning" || kind === "wait");
  const is_aside = kinds.some((kind) => ASIDE.has(kind) || kind.endsWith(".failed"));
  const is_error =
    kinds.some((kind) => /error|(failure|failed)$/.test(kind)) ||
    ["error", "error_code", "err_code", "errorDetails"].some((name) => message[name]) ||
    // FunASR says it in place of words, without a mode.
    (!("mode" in message) && String(message.text ?? "").startsWith("ERROR"));
  if (!is_error && !is_told) return undefined;
  const isNamed = (value) => isText(value) && value && !["error", "warning"].includes(value.toLowerCase());
  const isCode = (value) => isNamed(value) || (typeof value === "number" && value);
  const inner = [message.error, message.data, message.detail].find((each) => each && typeof each === "object") ?? {};
  const minutes = kinds.includes("wait") && typeof said === "number" && `it is full, for ${said.toFixed(0)} minutes`;
  const told = [minutes, message.error, ...WORDS.map((name) => inner[name]), ...WORDS.map((name) => message[name])];
  const text = told.find(isNamed) ?? JSON.stringify(message);
  const codes = [...CODES.map((name) => inner[name]), ...CODES.map((name) => message[name]), message_type];
  const code = [...codes, ...(kinds.some((kind) => kind === "error" || kind === "warning") ? [type] : [])].find(isCode);
  const whole = code === undefined || text.includes(String(code)) ? text : `${text} (${code})`;
  return { text: whole.slice(0, 200), is_fatal: is_error && !is_aside };
}
