// The tag's DOM events. It is an async script and may be done before ours has begun, so the page
// keeps what came early in window.announced (templates/layout.html).

/** Calls run with the detail of every event of that type, those that came early included. */
export function whenAnnounced(type, run) {
  for (const event of window.announced ?? []) {
    if (event.type === type) run(event.detail);
  }
  document.addEventListener(type, (event) => run(event.detail));
}
