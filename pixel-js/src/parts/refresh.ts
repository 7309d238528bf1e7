import type { Core } from '../core';
import type { Decision } from '../wire';

const longest = 0x7fffffff; // ms that a timer can wait; more is none at all
const knownAfter = 2_000; // ms from the reply to an event: decisions know it then, mostly a good deal sooner

/**
 * Asks for the decision anew when the collector has taken what can change it: events, the view of this page among them,
 * which can begin a session, or another choice of the visitor's. Once for all that comes within two seconds, and not
 * while nobody is looking.
 *
 * Of requests it hears from the browser's own list, where all of them are: nothing of the page's is replaced. What was in
 * one it does not know, so a search, which no rule reads, is a question too many.
 *
 * It tells the end of an offer, too, as a `beckon:decision` with reason `EXPIRED`, and asks what comes after it.
 */
export default function refresh({ decision, endpoint, guard, site }: Core): void {
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

  let offered: Decision | undefined;
  let timer: ReturnType<typeof setTimeout>;

  /** Also when nobody answers, or a service whose clock is behind says the same again. */
  const wait = guard(() => {
    clearTimeout(timer);
    const left = Date.parse(offered?.expires_at ?? '') - Date.now();
    if (left > 0) timer = setTimeout(wait, Math.min(left, longest));
    else if (left <= 0) {
      end();
      void decision();
    }
  });

  const end = (): void => {
    const detail: Decision = { site, eligible: false, offer: null, reason: 'EXPIRED' };
    document.dispatchEvent(new CustomEvent('beckon:decision', { detail }));
  };

  const take = guard((event: Event) => {
    const { detail } = event as CustomEvent<Decision>;
    if (detail.reason === 'ERROR') return; // the offer is as good as it was
    offered = detail.offer ? detail : undefined;
    if (Date.parse(offered?.expires_at ?? '') <= Date.now()) end(); // asking would bring it again
    else wait();
  });

  document.addEventListener('beckon:decision', take); // after the slots, which listen ahead of others

  new PerformanceObserver(guard((list: PerformanceObserverEntryList) => {
    for (const { name, responseStatus = 200 } of list.getEntries() as PerformanceResourceTiming[]) {
      news ||= name === href && responseStatus > 199 && responseStatus < 300; // an older Safari names no status
    }
    void ask();
  })).observe({ type: 'resource', buffered: true });
}
