/**
 * Web Speech API: `onresult` events, and those of `onend`.
 * @param {{lang?: string}} [recognition] the object that fires them
 */
export function webSpeech(recognition?: {
    lang?: string;
}): (message: unknown) => Chunk[];
/**
 * Deepgram, live: `Results` and `UtteranceEnd` of Nova, `TurnInfo` of Flux. Channels are kept apart, and the speakers of
 * `diarize`.
 */
export function deepgram(): (message: unknown) => Chunk[];
/**
 * AssemblyAI, streaming v3: `Turn`.
 * @param {{format_turns?: boolean}} [options] as the connection to it was opened
 */
export function assemblyAi({ format_turns }?: {
    format_turns?: boolean;
}): (message: unknown) => Chunk[];
/** Google Cloud Speech-to-Text v1 and v2: streaming responses, as JSON or as its libraries name the fields. */
export function google(): (message: unknown) => Chunk[];
/** Azure Speech SDK: the events of `recognizing`, `recognized`, `transcribing` and `transcribed`. */
export function azure(): (message: unknown) => Chunk[];
/** FunASR: an online message is only what came new, an offline one all of it, corrected. */
export function funAsr(): (message: unknown) => Chunk[];
/** Vosk server. */
export function vosk(): (message: unknown) => Chunk[];
/** WhisperLive: its last ten segments, again and again. */
export function whisperLive(): (message: unknown) => Chunk[];
/** WhisperLiveKit, `/asr?mode=full`: all lines each time, of which old ones change and disappear. */
export function whisperLiveKit(): (message: unknown) => Chunk[];
/** whisper_streaming: lines, `1720 2500 the warranty?`. */
export function whisperStreaming(): (message: unknown) => Chunk[];
/** RealtimeSTT: of its server `realtime` and `fullSentence`, of its page `realtime` and `final`. */
export function realtimeStt(): (message: unknown) => Chunk[];
/** sherpa-onnx, the servers in C++ and Python; the text `Done!` is the end of the audio. */
export function sherpaOnnx(): (message: unknown) => Chunk[];
/** Wyoming: events, with their data in `data` or beside the type. */
export function wyoming(): (message: unknown) => Chunk[];
/** Speechmatics: finals of a few words each, which end with a sentence, an utterance or another speaker. */
export function speechmatics(): (message: unknown) => Chunk[];
/** Gladia v2. @param {{channels?: number}} [options] as the session was made */
export function gladia({ channels }?: {
    channels?: number;
}): (message: unknown) => Chunk[];
/** Soniox: tokens, which are final once and until then come again and again. */
export function soniox(): (message: unknown) => Chunk[];
/** ElevenLabs Scribe, realtime. A commit may come twice, once more with times: the first one counts. */
export function elevenLabs(): (message: unknown) => Chunk[];
/** OpenAI, realtime transcription. */
export function openAi(): (message: unknown) => Chunk[];
/** Amazon Transcribe: the JSON of its `TranscriptEvent`. */
export function amazon(): (message: unknown) => Chunk[];
/** Vexa, a meeting bot: segments that are mutable until they are `completed`. */
export function vexa(): (message: unknown) => Chunk[];
/** Recall.ai, a meeting bot: its real-time events `transcript.partial_data` and `transcript.data`. */
export function recall(): (message: unknown) => Chunk[];
/** Attendee, a meeting bot: its webhook `transcript.update`, an utterance each. */
export function attendee(): (message: unknown) => Chunk[];
/** Zoom's real-time media streams: the transcript, an utterance of a participant each. */
export function zoom(): (message: unknown) => Chunk[];
/**
 * What a message of any recogniser complains of: for a person, with the recogniser's own code. After a fatal one it hears
 * no more.
 * @returns {{text: string, is_fatal: boolean} | undefined}
 */
export function complaint(message: any): {
    text: string;
    is_fatal: boolean;
} | undefined;
/**
 * What a message says of one utterance, before it is a chunk. `id`: what the recogniser calls the utterance, `lane`: the
 * channel, where several people talk at once; `words`: `{text, start, end, sureness}`, times in seconds.
 */
export type Chunk = import("./client.js").Chunk;
/**
 * What recognisers say, as chunks of transcript.
 *
 * Each function makes a mapper for one connection to its recogniser: `const chunksOf = deepgram()`, then for every message
 * `chunksOf(message).forEach((chunk) => rag.chunk(chunk))`. Make a new one when the recogniser starts anew: segment ids
 * begin with a prefix of their own, so that none repeats within a session. Messages without text give no chunk, unless
 * they take a partial back, and what is odd about a message never costs its words: a field that cannot be read is left out.
 */
export type Heard = {
    text: unknown;
    is_final?: unknown;
    end_of_turn?: unknown;
    id?: unknown;
    lane?: unknown;
    speaker?: unknown;
    language?: unknown;
    confidence?: unknown;
    end_ms?: number;
    words?: object[];
    is_flush?: boolean;
};
