/** The console: puts the client, what is said and what is shown together. */

import { RealtimeRag } from "./client.js";
import { byId } from "./dom.js";
import { Frames } from "./frames.js";
import { language, localise, t } from "./i18n.js";
import { Questions } from "./questions.js";
import { Microphone, Player, readRecording, wordByWord } from "./speech.js";
import { Transcript } from "./transcript.js";

const REMEMBERED = "realtime-rag token";

localise();

// Relative to the page, so that a proxy may serve it under a path of its own.
const address = new URL(document.documentElement.dataset.wsPath.slice(1), document.baseURI);
address.protocol = address.protocol.replace("http", "ws");

const transcript = new Transcript();
const questions = new Questions((text) => rag.control("instant_query", { text }));
const frames = new Frames();

/** @type {RealtimeRag} */
let rag;
/** Ends the listeners of the former client. */
let listening = new AbortController();
let token = sessionStorage.getItem(REMEMBERED) ?? "";

// --- The connection

const handlers = {
  frame: onFrame,
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
  if (seen.direction === "out" && seen.frame.type === "asr_chunk") transcript.sent(seen.frame);
}

let was_open = false;
let countdown = 0;

function onState({ state, code, retry_ms, resumed }) {
  clearInterval(countdown);
  document.body.dataset.state = state;
  byId("reconnect").hidden = state !== "waiting" && state !== "closed";
  if (state === "waiting") return countDown(retry_ms);
  byId("connection").textContent = wordsFor(state, code);
  if (state === "connecting") return;
  if (state === "closed" || !resumed) {
    questions.lost(state === "closed" && code === 1000 ? "stopped" : "lost");
    if (was_open) transcript.divide(state === "closed" ? t("closed") : t("new_session"));
    setPaused(false);
  }
  was_open = state === "open";
  if (state === "closed") showStage("closed");
  if (code === 4401) openSettings("token");
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

function onAck({ id }) {
  transcript.acked(id);
}

function onStatus(frame) {
  showStage(frame.stage);
  switch (frame.stage) {
    case "analyzing":
    case "instant_query":
      questions.begin(frame, transcript.asked(frame));
      break;
    case "querying_rag":
      questions.querying(frame);
      break;
    case "interrupting":
      questions.interrupted(frame);
      break;
    case "waiting_for_question":
    case "paused":
      if (frame.reason === "answer_in_progress" && frame.question) questions.wait(frame.question);
      transcript.status(frame);
      if (!frame.reason) setPaused(true);
      break;
    case "listening":
      setPaused(false);
      if (frame.reason !== "reset") break;
      questions.wait(undefined);
      transcript.divide(t("reason.reset"));
  }
}

function onAnswer(frame) {
  if (!frame.final) showStage("answering");
  questions.answer(frame);
}

function onError({ code, message }) {
  showNotice(t("error", { code, message }));
}

function onGivenUp({ messages }) {
  for (const message of messages) if (message.is_final) transcript.lost(message);
  const lost = messages.filter(({ type }) => type === "control").map(({ text, action }) => text || action);
  if (lost.length) showNotice(t("given_up", { lost: lost.join(" · ") }));
}

function showStage(stage) {
  document.body.dataset.stage = stage;
  byId("stage").textContent = t(`stage.${stage}`);
}

let notice = 0;

function showNotice(words, ms = 8000) {
  clearTimeout(notice);
  byId("notice").textContent = words;
  byId("notice").hidden = false;
  if (ms) notice = setTimeout(() => (byId("notice").hidden = true), ms);
}

// --- What a person does

function say(chunk) {
  const speaker = byId("speaker").value.trim();
  rag.chunk({ ...(speaker && { speaker }), ...chunk });
}

const typist = new Player(say);
/** What waits to be said word by word. @type {string[]} */
const typed = [];
const player = new Player(say);
new Microphone(say);

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
  if (text) rag.control("instant_query", { text });
};

byId("say").onkeydown = (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  byId("ask").click();
};

function takeText() {
  const field = byId("say");
  const text = field.value.trim();
  field.value = "";
  field.focus();
  return text;
}

for (const [i, button] of [...document.querySelectorAll(".example")].entries()) {
  button.textContent = t(`examples.${i + 1}`);
  button.onclick = () => say({ text: button.textContent, is_final: true });
}

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
  button.dataset.action = is_paused ? "resume" : "pause";
  button.setAttribute("aria-pressed", String(is_paused));
  byId("pause-words").textContent = t(is_paused ? "resume" : "pause");
}

byId("reconnect").onclick = () => rag.connect();

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

byId("open-settings").onclick = () => openSettings();
byId("dismiss-settings").onclick = () => dialog.close();

let set = {};

/** Show what the page before a reload has set. */
function takeSettingsBack() {
  set = rag.settings;
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
  set = wanted;
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

// --- Begin

async function introduce() {
  const response = await fetch("health");
  const { provider, dify_configured, fallback, version } = await response.json();
  const is_keyless = provider === "dify" && !dify_configured;
  const answers = (is_keyless && fallback) || provider;
  byId("about").textContent = `${version} · ${answers}`;
  // The examples are about what the embedded provider finds in this project's own docs.
  byId("examples").hidden = answers !== "local";
  if (is_keyless && !fallback) showNotice(t("no_key"), 0);
  if (answers !== "local" && answers !== "openai") return;
  // Of kinds that nobody reads there is nothing to say: a folder may hold pictures.
  const { knowledge } = await (await fetch("health/ready")).json();
  const unread = (knowledge?.not_read ?? []).filter(({ reason }) => reason).slice(0, 5);
  const list = unread.map(({ files, kind, reason }) => `${files} ${kind}: ${reason}`).join(", ");
  if (list) byId("about").textContent += ` · ${t("not_read", { list })}`;
}

connect();
takeSettingsBack();
introduce();
byId("say").focus();
