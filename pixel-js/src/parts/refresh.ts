import type { Core } from '../core';

const knownAfter = 2_000; // ms from the reply to an event: decisions know it then, mostly a good deal sooner

/**
 * Asks for the decision anew when the collector has taken what can change it: events, the view of this page among them,
 * which can begin a session, or another choice of the visitor's. Once for all that comes within two seconds, and not
 * while nobody is looking.
 *
 * Of requests it hears from the browser's own list, where all of them are: nothing of the page's is replaced. What was in
 * one it does not know, so a search, which no rule reads, is a question too many.
 */
export default function refresh({ decision, endpoint }: Core): void {
  const { href } = new URL(`${endpoint}/e`, document.baseURI);
  let news = false;
  let asking = false;

  const ask = async (): Promise<void> => {
    if (asking) return;
    for (asking = true; news; ) {
      news = false; // what comes from here on may be too late for this answer
      await new Promise((known) => setTimeout(known, knownAfter));
      if (document.hidden) await new Promise((seen) => document.addEventListener('visibilitychange', seen, { once: true }));
      await decision();
    }
    asking = false;
  };

  new PerformanceObserver((list) => {
    for (const { name, responseStatus = 200 } of list.getEntries() as PerformanceResourceTiming[]) {
      news ||= name === href && responseStatus > 199 && responseStatus < 300; // an older Safari names no status
    }
    void ask();
  }).observe({ type: 'resource', buffered: true });
}
