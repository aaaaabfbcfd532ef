"""The look of the contract pages: light and dark, from a phone's width on."""

from __future__ import annotations

STYLE = """
:root {
  --ink: #1d2430; --soft: #5a6576; --line: #dfe4ea; --paper: #ffffff; --tint: #f5f7f9;
  --accent: #0b5cad; --arrow: #8a5a00;
  color-scheme: light dark;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e4e8ee; --soft: #9aa7b8; --line: #2d3541; --paper: #12161c; --tint: #1a2029;
    --accent: #7db8f5; --arrow: #e0b055;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 1rem; -webkit-text-size-adjust: 100%; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body {
  margin: 0 auto; max-width: 76rem; padding: 0 1.25rem 4rem;
  background: var(--paper); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
header { padding: 2.5rem 0 1.25rem; border-bottom: 1px solid var(--line); }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.25; letter-spacing: -0.015em; }
header p { margin: 0.25rem 0 0; color: var(--soft); }
h2 { margin: 3rem 0 1rem; font-size: 1.35rem; line-height: 1.3; letter-spacing: -0.01em; }
h3 { margin: 2rem 0 0.5rem; font-size: 1.05rem; line-height: 1.4; }
p { margin: 0.5rem 0 0.9rem; max-width: 46rem; }
a { color: var(--accent); text-underline-offset: 0.15em; }
a:focus-visible, [tabindex]:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
code, pre, .kind { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Noto Sans Mono", monospace; }
code { font-size: 0.875em; overflow-wrap: break-word; }
.address { font-size: 1.1rem; }
.kind {
  margin-left: 0.4rem; padding: 0.1rem 0.5rem; border: 1px solid var(--line); border-radius: 1rem;
  color: var(--soft); font-size: 0.78rem; font-weight: 400; white-space: nowrap;
}
.optional, small { color: var(--soft); font-size: 0.8rem; }
.optional { display: block; }
.wide { overflow-x: auto; margin: 0.75rem 0 1.25rem; }
table { width: 100%; border-collapse: collapse; font-size: 0.925rem; }
th { color: var(--soft); font-size: 0.8rem; font-weight: 600; text-align: left; }
th, td { padding: 0.5rem 1rem 0.5rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child { width: 11rem; }
td:first-child { white-space: nowrap; }
td:last-child { min-width: 14rem; }
figure { margin: 1rem 0; }
figcaption { margin-bottom: 0.35rem; color: var(--soft); font-size: 0.875rem; }
pre {
  margin: 0; padding: 0.85rem 1rem; overflow-x: auto; border: 1px solid var(--line); border-radius: 8px;
  background: var(--tint); font-size: 0.85rem; line-height: 1.5;
}
pre code { font-size: inherit; overflow-wrap: normal; }
.arrow { color: var(--arrow); font-weight: 700; }
nav ul { margin: 0; padding: 0; list-style: none; }
nav ul ul { padding-left: 0.9rem; }
nav a { display: block; padding: 0.2rem 0; color: inherit; text-decoration: none; font-size: 0.925rem; }
nav ul ul a { color: var(--soft); }
nav a:hover { color: var(--accent); text-decoration: underline; }
nav { padding: 1.25rem 0 0; }
.skip { position: absolute; left: -999rem; }
.skip:focus { left: 1rem; top: 1rem; padding: 0.5rem 0.75rem; background: var(--paper); }
@media (max-width: 59.99rem) { nav ul ul { display: none; } nav > ul { columns: 2; } }
@media (min-width: 60rem) {
  .columns { display: grid; grid-template-columns: 13rem minmax(0, 1fr); gap: 3.5rem; }
  nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow-y: auto; padding: 2rem 0; }
  main { padding-top: 1.25rem; }
}
@media (max-width: 40rem) {
  thead { position: absolute; left: -999rem; }
  table, tbody, tr, td { display: block; }
  tr { padding: 0.55rem 0; border-bottom: 1px solid var(--line); }
  td { padding: 0; border: 0; }
  td:first-child code { font-weight: 700; }
  .optional { display: inline; }
}
@media print { nav, .skip { display: none; } }
"""
