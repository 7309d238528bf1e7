import { json } from './json';
import { quietly } from './quietly';
import { endpoint, site } from './settings';
import { wait } from './wait';
import type { Choice, ShopEvent } from './wire';

/**
 * Brings events to the collector, until the end of the page. An event leaves the queue when a reply has
 * accepted or refused it, not before; by its id the collector knows it again when it comes twice. The
 * queue always fits one request, and there is one at a time: nothing follows the first one until its
 * reply has set the cookie, and a slow network gets fewer, fuller batches. When the queue is full the
 * oldest event goes: what a visitor does last, such as to buy, is worth most.
 */
const enum Limit {
  gatherFor = 250, // ms: one request for all that a click sets off, still fresh for the next decision
  events = 100, // as the collector takes in one batch
  units = 20_000, // of UTF-16; one is at most three bytes, and browsers carry 64 KiB for a page that is gone
  answerWithin = 10_000, // ms
}

export let queue: readonly ShopEvent[] = [];
/** Names the lane of the last reply. Nothing is kept in the browser but in the lane `decide`. */
export let lane: string | null | undefined;

let choice: Choice | undefined;
let told: Choice | 0 | undefined = 0; // the choice that the collector knows: at first not even that there is none
let left: unknown; // the queue that a beacon has carried
let gone: unknown; // the page has been left: what it still tells goes out at once, or never
let wake: (() => void) | undefined;
let heard: (() => void) | undefined;

const idle = (): boolean => !queue[0] && told == choice;

const body = (): string =>
  json({ v: 1, s: site, z: Date.now(), w: navigator.webdriver || undefined, c: choice, e: queue });

/**
 * Asks one of the services, or posts to it, in a request that outlives the page; nothing when there was
 * no answer. A string travels as text/plain, which needs no preflight. Without a prototype, because
 * options are read from there too, and a page may have put anything on it.
 */
export const request = quietly((path: string, body?: string) =>
  fetch(endpoint + path, {
    __proto__: null,
    method: body && 'POST',
    body,
    keepalive: true,
    credentials: 'include',
  } as RequestInit),
);

/** Puts events behind those that are there. They are ours alone, whatever the page does with its objects. */
export const add = (events: readonly ShopEvent[]): void => {
  queue = queue.concat(events);
  while (queue[Limit.events] || json(queue).length > Limit.units) queue = queue.slice(1);
  gone ? leave() : wake?.();
};

/** Sets the choice that goes with everything sent from now on, and tells it at once. */
export const choose = (next: Choice): void => {
  choice = next;
  takeBack(); // what is kept goes under the new choice, too
  left = lane = undefined;
  wake?.();
};

/** Resolves when the collector has answered this page and knows its choice: the cookie is as it should be. */
export const answered = (): Promise<void> =>
  new Promise((resolve) => (told == choice ? resolve() : (heard = resolve)));

/** Sends what is there and what comes, one request after the other, and looks around before each. */
export const send = async (lookAround: () => void): Promise<never> => {
  for (let failures = 0; ; ) {
    lookAround();
    if (idle()) await new Promise<void>((resolve) => (wake = resolve));
    if (told == choice) await wait(Limit.gatherFor);
    const sent = queue;
    const mine = choice;
    const reply = await wait(Limit.answerWithin, request('/e', body()));
    const named = reply?.ok && reply.headers.get('Beckon-Lane');
    if (named || /^4(?!29)/.test(reply?.status as never)) {
      failures = 0;
      queue = queue.filter((event) => !sent.includes(event));
      told = mine;
      if (told == choice) {
        lane = named as typeof lane;
        heard?.();
      }
    } else {
      left = undefined; // a beacon has probably fared no better
      // 1 s, 2 s, 4 s ... beyond what was asked for, and up to half of it again by chance: the
      // visitors of a shop are not to come back in one moment.
      await wait((2 ** failures++ + ((reply?.headers.get('Retry-After') as never) | 0)) * (1_000 + Math.random() * 500));
    }
  }
};

/** Sends all that is not answered yet, even if it is on its way, once: one sign of leaving follows another. */
export const leave = (): void => {
  if (document.prerendering || idle() || left == (left = queue)) return;
  if (!navigator.sendBeacon?.(endpoint + '/e', body())) void request('/e', body());
};

/**
 * Keeps what is not answered for the next page in this tab, where the lane allows it. It is here or
 * there, never in both, so that a page which comes back and a tab that is copied send nothing twice.
 */
export const putAside = (): void => {
  gone = 1;
  if (/^decide/.test(lane as string)) {
    sessionStorage['_bk_' + site] = json(queue);
    queue = [];
  }
};

/** Takes what an earlier page in this tab has kept. That there is something, if only an empty list, tells the lane. */
export const takeBack = quietly(() => {
  gone = 0;
  const kept = sessionStorage['_bk_' + site];
  if (kept) {
    delete sessionStorage['_bk_' + site];
    lane = 'decide';
    add(JSON.parse(kept));
  }
});
