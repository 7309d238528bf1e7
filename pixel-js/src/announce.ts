/** Tells the page, as a DOM event on `document`, what the services have answered. */
export function announce(name: 'beckon:ack' | 'beckon:decision', detail: unknown): void {
  document.dispatchEvent(new CustomEvent(name, { detail }));
}
