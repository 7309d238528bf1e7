/** What came of a request of the tag: a reply, nothing, or for a beacon whether the browser took it. */
export type Outcome = Response | boolean | undefined;

/**
 * Hears of each request to the services, by its body, for parts that a developer asks for: in the place
 * of the browser's own functions, which still do what they did.
 */
export function watchRequests(endpoint: string, sent: (body: unknown) => (outcome: Outcome) => void): void {
  const { fetch } = window;
  const beacon = navigator.sendBeacon;
  const ours = (url: unknown): boolean =>
    typeof url === 'string' && url.startsWith(endpoint) && /^\/(e$|v1\/decision)/.test(url.slice(endpoint.length));
  window.fetch = (url, init) => {
    const reply = fetch.call(window, url, init);
    if (ours(url)) {
      const hear = sent(init?.body);
      reply.then((r) => hear(r.clone()), () => hear(undefined)).catch(() => {});
    }
    return reply;
  };
  navigator.sendBeacon = (url, body) => {
    const taken = beacon.call(navigator, url, body);
    if (ours(url)) sent(body)(taken);
    return taken;
  };
}
