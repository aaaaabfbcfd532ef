/** The colours that somebody has chosen in the console, for the pages beside it. */

try {
  document.documentElement.dataset.theme = localStorage.getItem("realtime-rag theme") ?? "";
} catch {
  /* not kept */
}
