/** A page of the guide: its Markdown, made safe, with an anchor at each heading and at each code of a table. */

import { Marked } from "./vendor/marked.esm.js";
import { make } from "./dom.js";
import "./theme.js";
import "./vendor/purify.min.js";

const { DOMPurify } = globalThis;
const root = document.documentElement;

const ALLOWED = {
  ALLOWED_TAGS: "a blockquote br code del em h1 h2 h3 h4 hr li ol p pre strong table tbody td th thead tr ul".split(" "),
  ALLOWED_ATTR: ["align", "href", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?:|#|[\w-]+\.md(?:#|$))/i,
  ADD_URI_SAFE_ATTR: ["align", "start"], // no addresses
  RETURN_DOM_FRAGMENT: true,
};
const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const markdown = new Marked({ gfm: true, renderer: { html: ({ text }) => escape(text), image: ({ text }) => escape(text) } });

/** The anchor of a heading, as code hosts make it. */
const slug = (heading) =>
  heading.trim().toLowerCase().replace(/[^\p{L}\p{N}\-_ ]/gu, "").replaceAll(" ", "-");

function prepared(text) {
  const page = DOMPurify.sanitize(markdown.parse(text), ALLOWED);
  for (const link of page.querySelectorAll("a")) {
    const address = link.getAttribute("href");
    // What is no page of the guide, such as the changelog, stands only where the source does.
    if (address === null) link.replaceWith(...link.childNodes);
    else link.setAttribute("href", address.replace(/^([\w-]+)\.md/, "$1"));
  }
  let chapter = "";
  for (const element of page.querySelectorAll("h1, h2, h3, h4, tbody tr")) {
    if (element.tagName === "TR") {
      const code = element.querySelector("td:first-child > code:only-child");
      if (code) element.id = `${chapter}:${code.textContent}`;
    } else element.id = chapter = slug(element.textContent);
  }
  // They scroll by themselves.
  for (const block of page.querySelectorAll("pre")) block.tabIndex = 0;
  for (const table of page.querySelectorAll("table")) {
    const frame = make("div", { class: "wide", tabIndex: 0 });
    table.replaceWith(frame);
    frame.append(table);
  }
  return page;
}

/** Go where the address leads; to its chapter if there is no such row. */
function arrive() {
  let anchor = location.hash.slice(1);
  try {
    anchor = decodeURIComponent(anchor);
  } catch {
    /* It leads nowhere. */
  }
  if (!anchor) return;
  if (document.getElementById(anchor)) location.replace(location.hash);
  else document.getElementById(anchor.split(":")[0])?.scrollIntoView();
}

const main = document.getElementById("text");
try {
  const response = await fetch(`${root.dataset.page}.md`);
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  main.append(prepared(await response.text()));
  document.title = `${main.querySelector("h1")?.textContent ?? root.dataset.page} · ${document.title}`;
  arrive();
} catch (error) {
  main.append(make("p", { role: "alert" }, `This page cannot be shown: ${error.message}`));
}
