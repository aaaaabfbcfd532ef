/** The console: puts the client, what is said and what is shown together. */

import { RealtimeRag } from "./client.js";
import { byId } from "./dom.js";
import { lookedUp, sentence } from "./explain.js";
import { Frames } from "./frames.js";
import { language, localise, t } from "./i18n.js";
import { Pace } from "./pace.js";
import { Provider } from "./provider.js";
import { Questions } from "./questions.js";
import { Sessions } from "./sessions.js";
import { fromAddress, toAddress } from "./sharing.js";
import { Microphone, Player, readRecording, wordByWord } from "./speech.js";
import { Tabs } from "./tabs.js";
import { Transcript } from "./transcript.js";
import { trySentences } from "./try.js";
import { Waiting } from "./waiting.js";

const REMEMBERED = "realtime-rag token";

localise();

// Relative to the page, so that a proxy may serve it under a path of its own.
const address = new URL(document.documentElement.dataset.wsPath.slice(1), document.baseURI);
address.protocol = address.protocol.replace("http", "ws");

const transcript = new Transcript();
const waiting = new Waiting();
const provider = new Provider(() => showStage(session.stage), showNotice);
const pace = new Pace();
const questions = new Questions({ ask, address, measured: (timing, question) => pace.add(timing, question), rate });
const frames = new Frames();
const sessions = new Sessions();

/** @param {string} query_id @returns how its answer is rated, if it can be */
function rate(query_id) {
  return provider.takes_feedback && ((said) => rag.control("feedback", { query_id, ...said }));
}

/** @type {RealtimeRag} */
let rag;
/** Ends the listeners of the former client. */
let listening = new AbortController();
let token = sessionStorage.getItem(REMEMBERED) ?? "";

trySentences(() => token);

// --- The connection

const handlers = {
  frame: onFrame,
  held: onHeld,
  state: onState,
  ack: onAck,
  status: onStatus,
  answer: onAnswer,
  error: onError,
  given_up: onGivenUp,
};

function connect() {
  listening.abort();
  rag?.close();
  listening = new AbortController();
  rag = new RealtimeRag(address, { token });
  const { signal } = listening;
  for (const [type, handle] of Object.entries(handlers)) rag.addEventListener(type, (e) => handle(e.detail), { signal });
  rag.connect();
}

function onFrame(seen) {
  frames.add(seen);
  if (seen.direction !== "out") return;
  waiting.release(seen.frame.id);
  if (seen.frame.type !== "asr_chunk") return;
  transcript.sent(seen.frame);
  if (seen.frame.is_final) sessions.said(seen.frame);
}

function onHeld({ message }) {
  if (message.type === "asr_chunk") transcript.held(message);
  else if (message.action === "instant_query" && message.text) waiting.hold(message.id, message.text);
}

let was_open = false;
let countdown = 0;

function onState({ state, code, retry_ms, resumed }) {
  clearInterval(countdown);
  document.body.dataset.state = state;
  byId("reconnect").hidden = state !== "waiting" && state !== "closed";
  byId("say").placeholder = t(state === "closed" ? "say_again" : "say");
  if (state === "waiting") {
    transcript.hold();
    return countDown(retry_ms);
  }
  byId("connection").textContent = wordsFor(state, code);
  if (state === "connecting") return;
  provider.look();
  if (state === "closed" || !resumed) {
    questions.lost(state === "closed" && code === 1000 ? "stopped" : "lost");
    giveUp(t("session_over"));
    if (was_open) transcript.divide(state === "closed" ? wordsFor(state, code) : t("new_session"));
    pace.divide();
    session.running = "";
    setPaused(false);
    showStage(state === "closed" ? "closed" : "listening");
  }
  was_open = state === "open";
  if (code === 4401) openSettings("token");
}

/** What waited will not be asked. @param {string} why */
function giveUp(why) {
  transcript.drop(waiting.dropAll(why), why);
  transcript.dropWaits(why);
}

function countDown(ms) {
  const ends = performance.now() + ms;
  const show = () => {
    const seconds = Math.max(1, Math.ceil((ends - performance.now()) / 1000));
    byId("connection").textContent = t("waiting", { seconds });
  };
  show();
  countdown = setInterval(show, 1000);
}

function wordsFor(state, code) {
  const words = t(`closed.${code}`);
  return state === "closed" && words !== `closed.${code}` ? words : t(state);
}

// --- What the service says

function onAck({ id, details, received_type, session_id }) {
  sessions.is(session_id);
  transcript.acked(id);
  if (received_type === "configure") tuning?.acked(details);
  if (details?.text === "cut") showNotice(t("cut"));
}

function onStatus(frame) {
  if (frame.dropped) {
    const why = t(WHY_DROPPED[frame.reason ?? frame.stage] ?? "no_room");
    transcript.drop(waiting.drop(frame.dropped, why), why);
  }
  switch (frame.stage) {
    case "analyzing":
    case "instant_query":
      waiting.take(frame.question);
      questions.begin(frame, transcript.asked(frame));
      sessions.asked(frame);
      break;
    case "querying_rag":
      questions.querying(frame);
      break;
    case "interrupting":
      questions.interrupted(frame);
      break;
    case "idle":
      if (frame.reason === "cancelled") giveUp(t("reason.cancelled"));
      break;
    case "waiting_for_question":
    case "paused":
      onWaiting(frame, transcript.status(frame));
      break;
    case "listening":
      if (frame.reason === "reset") {
        giveUp(t("reason.reset"));
        pace.divide();
        sessions.divide();
        transcript.divide(t("reason.reset"));
      }
  }
  if (frame.stage === "instant_query") transcript.dropWaits(t("reason.instant_query"));
  if (frame.stage === "paused" || frame.stage === "listening") setPaused(frame.stage === "paused");
  if (RUNNING.has(frame.stage)) session.running = frame.stage;
  if (frame.stage === "interrupting" || frame.stage === "idle") session.running = "";
  showStage(frame.reason === "may_continue" ? "may_continue" : frame.stage);
}

const RUNNING = new Set(["analyzing", "instant_query", "querying_rag"]);
const WHY_DROPPED = { cancelled: "reason.cancelled", instant_query: "reason.instant_query" };

function onWaiting({ reason, question }, line) {
  if (!question || reason === "suggested") return;
  if (line) line.waits_at = performance.now();
  waiting.add(question, line);
}

function onAnswer(frame) {
  if (!frame.final) session.running = "answering";
  questions.answer(frame);
  sessions.answered(frame);
  if (frame.error) provider.look();
  showStage(session.stage);
}

function onError({ code, message, id }) {
  const is_known = transcript.refused(id, code, message);
  if (!is_known) showNotice(lookedUp(sentence(code, message), code, "messages"));
}

function onGivenUp({ messages }) {
  for (const message of messages) {
    waiting.release(message.id);
    if (message.is_final) transcript.lost(message);
  }
  const lost = messages.filter(({ type }) => type === "control").map(({ text, action }) => text || t(`action.${action}`));
  if (lost.length) showNotice(t("given_up", { lost: lost.join(" · ") }));
}

/** What the session is doing: `running` is the stage of the question that is being answered, if one is. */
const session = { stage: "listening", running: "", is_paused: false };

/** An answer that runs is what the session does, whatever else is said; then that it is paused. */
function showStage(stage) {
  session.stage = stage;
  const idle = session.is_paused ? "paused" : stage === "idle" && !provider.is_ready ? "not_ready" : stage;
  const shown = stage === "closed" ? stage : session.running || idle;
  document.body.dataset.stage = shown;
  byId("stage").textContent = t(`stage.${shown}`);
}

let notice = 0;

function showNotice(words, ms = 8000) {
  clearTimeout(notice);
  byId("notice").replaceChildren(words);
  byId("notice").hidden = false;
  if (ms) notice = setTimeout(() => (byId("notice").hidden = true), ms);
}

// --- What a person does

function say(chunk) {
  beginAnew();
  const speaker = byId("speaker").value.trim();
  rag.chunk({ ...(speaker && { speaker }), ...chunk });
}

/** Ask exactly this. @param {string} text */
function ask(text) {
  beginAnew();
  rag.control("instant_query", { text });
}

/** Who speaks after the end begins a new session. */
function beginAnew() {
  if (document.body.dataset.state !== "closed") return;
  transcript.divide(t("new_session"));
  rag.connect();
}

const typist = new Player(say);
/** What waits to be said word by word. @type {string[]} */
const typed = [];
const player = new Player(say);
new Microphone(say);

const LIMIT = Number(document.documentElement.dataset.maxMessageBytes);

/** What the field holds, unless it is more than the service takes: then it stays there. */
function takeText() {
  const field = byId("say");
  const text = field.value.trim();
  const message = { type: "asr_chunk", speaker: byId("speaker").value, text, is_final: true, id: "0".repeat(20) };
  const size = new TextEncoder().encode(JSON.stringify(message)).length;
  field.focus();
  if (size > LIMIT) {
    showNotice(t("too_long", { size: size.toLocaleString(), limit: LIMIT.toLocaleString() }));
    return "";
  }
  field.value = "";
  return text;
}

byId("composer").onsubmit = (event) => {
  event.preventDefault();
  const text = takeText();
  if (!text) return;
  if (!byId("word-by-word").checked) return say({ text, is_final: true });
  typed.push(text);
  if (!typist.is_playing) typist.onend();
};

typist.onend = () => {
  if (typed.length) typist.play(wordByWord(typed.shift()));
};

byId("ask").onclick = () => {
  const text = takeText();
  if (text) ask(text);
};

byId("say").onkeydown = (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  byId("ask").click();
};

for (const button of document.querySelectorAll(".example")) {
  button.onclick = () => say({ text: button.textContent, is_final: true });
}

byId("welcome-mic").hidden = byId("mic").disabled;
byId("welcome-mic").onclick = () => byId("mic").click();
byId("welcome-play").onclick = () => byId("play").click();

for (const button of document.querySelectorAll("[data-action]")) {
  button.onclick = () => {
    if (button.dataset.action === "stop" || button.dataset.action === "reset") beSilent();
    rag.control(button.dataset.action);
  };
}

function beSilent() {
  typed.length = 0;
  typist.stop();
  player.stop();
}

function setPaused(is_paused) {
  const button = byId("pause");
  session.is_paused = is_paused;
  button.dataset.action = is_paused ? "resume" : "pause";
  button.setAttribute("aria-pressed", String(is_paused));
  byId("pause-words").textContent = t(is_paused ? "resume" : "pause");
}

byId("reconnect").onclick = () => {
  beginAnew();
  rag.connect();
};

byId("more").onclick = ({ currentTarget }) => {
  const is_open = document.body.classList.toggle("with-tools");
  currentTarget.setAttribute("aria-expanded", String(is_open));
};

// --- Recordings

const chooser = byId("recording");
chooser.value = language;

byId("play").onclick = async () => {
  if (player.is_playing) return player.stop();
  if (chooser.value === "file") return byId("file").click();
  const response = await fetch(`static/transcripts/${chooser.value}.jsonl`);
  play(await response.text());
};

byId("file").onchange = async ({ currentTarget }) => {
  const [file] = currentTarget.files;
  currentTarget.value = "";
  if (file) play(await file.text());
};

function play(file) {
  try {
    player.play(readRecording(file), Number(byId("speed").value));
    showPlaying();
  } catch (problem) {
    if (!(problem instanceof RangeError)) throw problem;
    showNotice(t("replay_broken", { line: problem.message }));
  }
}

function showPlaying() {
  byId("play").setAttribute("aria-pressed", String(player.is_playing));
  byId("play-words").textContent = t(player.is_playing ? "replay_stop" : "replay_start");
}

player.onend = showPlaying;

// --- Settings

const dialog = byId("settings");

function openSettings(focused = "on-new-question") {
  byId("token").value = token;
  byId("remember").checked = sessionStorage.getItem(REMEMBERED) !== null;
  byId("settings-problem").hidden = true;
  if (!dialog.open) dialog.showModal();
  byId(focused).focus();
}

const theme = byId("theme");
theme.value = document.documentElement.dataset.theme;

function showTheme() {
  document.documentElement.dataset.theme = theme.value;
  for (const [i, meta] of document.querySelectorAll("meta[name=theme-color]").entries()) {
    const scheme = ["light", "dark"][i];
    meta.media = theme.value ? (theme.value === scheme ? "all" : "not all") : `(prefers-color-scheme: ${scheme})`;
  }
}

showTheme();
theme.onchange = () => {
  showTheme();
  try {
    localStorage.setItem("realtime-rag theme", theme.value);
  } catch {
    // It holds until the page is closed.
  }
};

byId("open-settings").onclick = () => openSettings();
byId("dismiss-settings").onclick = () => dialog.close();

let set = {};

/** Show what the page before a reload has set, or else the address. */
function takeSettingsBack() {
  set = rag.settings;
  if (!Object.keys(set).length) {
    set = fromAddress();
    if (Object.keys(set).length) {
      rag.configure(set);
      showNotice(t("from_address"));
    }
  }
  const { on_new_question = "", auto_detect = true, speakers = [], inputs = {} } = set;
  byId("on-new-question").value = on_new_question;
  byId("auto-detect").checked = auto_detect;
  byId("speakers").value = speakers.join(", ");
  byId("inputs").value = Object.keys(inputs).length ? JSON.stringify(inputs) : "";
}

byId("settings-form").onsubmit = (event) => {
  event.preventDefault();
  try {
    applySettings();
    dialog.close();
  } catch (problem) {
    byId("settings-problem").textContent = problem.message;
    byId("settings-problem").hidden = false;
  }
};

function applySettings() {
  const wanted = {
    ...(byId("on-new-question").value && { on_new_question: byId("on-new-question").value }),
    auto_detect: byId("auto-detect").checked,
    speakers: byId("speakers").value.split(/[,，]/).map((name) => name.trim()).filter(Boolean),
    inputs: readInputs(byId("inputs").value),
  };
  const start = { auto_detect: true, speakers: [], inputs: {}, ...set };
  const changed = Object.entries(wanted).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(start[name]));
  if (changed.length) rag.configure(Object.fromEntries(changed));
  set = { ...set, ...wanted };
  toAddress(set);
  useToken(byId("token").value.trim(), byId("remember").checked);
}

function readInputs(text) {
  if (!text.trim()) return {};
  try {
    const inputs = JSON.parse(text);
    if (inputs && typeof inputs === "object" && !Array.isArray(inputs)) return inputs;
  } catch {
    // Said below.
  }
  throw new Error(t("bad_inputs"));
}

function useToken(wanted, is_remembered) {
  if (!/^[\w!#$%&'*+.^`|~-]*$/.test(wanted)) throw new Error(t("bad_token"));
  if (is_remembered && wanted) sessionStorage.setItem(REMEMBERED, wanted);
  else sessionStorage.removeItem(REMEMBERED);
  if (wanted === token && document.body.dataset.state !== "closed") return;
  token = wanted;
  connect();
  if (Object.keys(set).length) rag.configure(set);
}

// --- Tuning

/** @type {import("./tuning.js").Tuning | undefined} */
let tuning;

byId("tuning").ontoggle = async ({ currentTarget }) => {
  const part = tuning ? undefined : await import("./tuning.js").catch(notLoaded);
  if (!part || tuning) return;
  const known = JSON.parse(document.documentElement.dataset.tuning);
  tuning = new part.Tuning(currentTarget.lastElementChild, known, set.tuning, tune);
};

/** What comes with its first use did not; the next use tries again. */
function notLoaded() {
  showNotice(t("not_loaded"));
}

function tune(values) {
  set = { ...set, tuning: values };
  toAddress(set);
  rag.configure({ tuning: values });
}

// --- Sessions

/** @type {import("./archive.js").Archive | undefined} */
let archive;

byId("open-sessions").onclick = async () => {
  const part = await import("./archive.js").catch(notLoaded);
  if (!part) return;
  archive ??= new part.Archive(sessions);
  archive.open();
};

// --- Begin

new Tabs();
connect();
takeSettingsBack();
byId("say").focus();
