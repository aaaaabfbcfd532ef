/** Who recognises what is spoken: the browser, or a recogniser of one's own. */

import { byId, make } from "./dom.js";
import { t } from "./i18n.js";

const KEPT = "realtime-rag ears";
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

const { earsUrl, earsKind } = document.documentElement.dataset;

/** An address as it is meant: a path is one of this host. @returns {URL | undefined} */
function read(text) {
  const base = new URL(document.baseURI);
  base.protocol = base.protocol.replace("http", "ws");
  if (!/^(wss?:\/)?\//i.test(text) || !URL.canParse(text, base)) return undefined;
  const url = new URL(text, base);
  return url.hash || url.username || url.password ? undefined : url;
}

/** Why a browser would not connect to it, if it would not. @param {string} text */
function problemOf(text) {
  const url = read(text);
  if (!url) return t("ears.bad");
  const is_own = url.host === location.host;
  const is_known = earsUrl && url.origin === new URL(earsUrl).origin;
  if (!is_own && !is_known) return t("ears.forbidden", { host: url.host });
  const is_plain = location.protocol === "https:" && url.protocol === "ws:" && !LOOPBACK.test(url.hostname);
  return is_plain ? t("ears.plain") : "";
}

/** What was chosen before, unless it is forbidden by now. */
function remembered() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT));
    return kept?.kind && problemOf(kept.url) ? null : kept;
  } catch {
    return null;
  }
}

function remember(choice) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(choice));
  } catch {
    // It holds until the page is closed.
  }
}

export class Hearing {
  #kind = byId("ears-kind");
  #address = byId("ears-url");
  #device = byId("ears-device");

  /** @param {() => void} changed */
  constructor(changed) {
    const { kind, url } = remembered() ?? { kind: earsUrl ? earsKind : "", url: earsUrl };
    this.#kind.value = kind;
    this.#address.value = url || earsUrl;
    this.#show();
    this.#kind.onchange = this.#address.onchange = this.#device.onchange = () => {
      remember({ kind: this.kind, url: this.#address.value.trim() });
      this.#show();
      changed();
    };
    this.#address.oninput = () => this.#show();
  }

  /** The kind of recogniser, empty for the browser's. */
  get kind() {
    return this.#kind.value;
  }

  get device() {
    return this.#device.value || undefined;
  }

  get url() {
    return read(this.#address.value.trim());
  }

  /** What is wrong with the address, if anything is. */
  get problem() {
    return problemOf(this.#address.value.trim());
  }

  /** Browsers name the microphones once one was allowed. */
  async showDevices() {
    const all = await navigator.mediaDevices.enumerateDevices();
    const found = all.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId);
    const chosen = this.#device.value;
    this.#device.replaceChildren(...found.map(({ deviceId, label }) => make("option", { value: deviceId, textContent: label })));
    this.#device.value = found.some(({ deviceId }) => deviceId === chosen) ? chosen : (found[0]?.deviceId ?? "");
    this.#show();
  }

  #show() {
    for (const field of [this.#address, this.#device]) field.parentElement.hidden = !this.kind;
    if (this.#device.length < 2) this.#device.parentElement.hidden = true;
    byId("ears-problem").textContent = this.kind ? this.problem : "";
  }
}
