import { announce } from './announce';
import { backoff, patience } from './backoff';
import { fitting } from './fitting';
import type { Stop } from './listen';
import { debug, driven, endpoint, site } from './tag';
import { batchBody, laneHeader, reasonHeader } from './wire';
import type { Choice, Receipt, ShopEvent } from './wire';
import { within } from './within';

const gatherFor = 250; // ms: one request for all that a click sets off, still fresh for the next decision
const gatherAtMost = 20; // events
const queueLimit = 100; // events, which is also the most that the collector takes in one batch
const answerWithin = 10_000; // ms

const url = `${endpoint}/e`;

export interface Sender {
  /** Takes one event. It is written down at once, so the page may change its objects afterwards. */
  push(event: ShopEvent): void;
  /** Sets the choice that goes with everything sent from now on, and tells it at once. */
  choose(choice: Choice): void;
  /** Resolves when the collector has answered this page and knows its choice: the cookie is as it should be. */
  answered(): Promise<void>;
  /** Sends all that is not answered yet, even if it is on its way, in requests that outlive the page. */
  leave(): void;
  /** The lane that the collector has named last, if no choice was made since. */
  lane(): string | null | undefined;
  /** Nothing is sent afterwards. */
  stop: Stop;
}

/**
 * Brings events to the collector, from the moment that `opened` resolves. An event leaves the queue
 * when a reply has accepted or refused it, not before; by its id the collector knows it again when it
 * comes twice. One request at a time: nothing follows the first one until its reply has set the
 * cookie, and a slow network gets fewer, fuller batches. When the queue is full the oldest event
 * goes: what a visitor does last, such as to buy, is worth most.
 */
export function startSender(opened: Promise<void>): Sender {
  let queue: readonly string[] = [];
  let choice: Choice | undefined;
  let unanswered = true; // no answer on this page yet, or none since the last choice
  let unheard = false; // there is something that no beacon has carried
  let busy = true; // before the start, during a request and in the pause after a failed one
  let stopped = false;
  let failures = 0; // in a row
  let lane: string | null | undefined;
  let waiting: (() => void)[] = [];

  const idle = (): boolean => !queue.length && !unanswered;

  const body = (events: readonly string[]): string =>
    batchBody({ v: 1, s: site, z: Date.now(), w: driven(), c: choice }, events);

  const post = (text: string): Promise<Response> =>
    fetch(url, {
      method: 'POST',
      body: text, // a string travels as text/plain, which needs no preflight
      keepalive: true,
      credentials: 'include',
    });

  /** Resolves to nothing when the collector gave its answer, else to the seconds it wants to be left alone. */
  const deliver = async (events: readonly string[]): Promise<string | undefined> => {
    const told = choice;
    const reply = await post(body(events));
    const { status, headers } = reply;
    debug(status, headers.get(reasonHeader), events);
    if (status === 429 || status >= 500) return headers.get('Retry-After') || '0';
    if (reply.ok) {
      if (told === choice) lane = headers.get(laneHeader);
      const receipt: Receipt =
        status === 204 ? { accepted: events.length, dropped: [] } : await reply.json();
      announce('beckon:ack', { ...receipt, lane: headers.get(laneHeader) });
    }
    return;
  };

  const flush = async (): Promise<void> => {
    if (busy || idle()) return;
    busy = true;
    const events = fitting(queue);
    const told = choice;
    const retryAfter = await within(answerWithin, deliver(events)).catch((fault) => {
      debug(fault);
      return '0';
    });
    if (retryAfter) {
      unheard = true; // a beacon has probably fared no better
      await new Promise((resume) => setTimeout(resume, backoff(++failures, retryAfter)));
    } else {
      failures = 0;
      queue = queue.filter((event) => !events.includes(event));
      if (told === choice) {
        unanswered = false;
        waiting.forEach((resolve) => resolve());
        waiting = [];
      }
    }
    busy = stopped;
    if (failures < patience) schedule();
  };

  const schedule = (): void => {
    if (unanswered || queue.length >= gatherAtMost) {
      void opened.then(flush); // after the other calls of this moment, so that they go along
    } else {
      setTimeout(flush, gatherFor); // at the latest; an earlier event's timer may take this one along
    }
  };

  void opened.then(() => {
    busy = false;
  });

  return {
    push(event) {
      queue = [...queue, JSON.stringify(event)].slice(-queueLimit);
      unheard = true;
      schedule();
    },
    choose(next) {
      choice = JSON.parse(JSON.stringify(next)) as Choice; // now, where a strange object does no harm
      lane = undefined;
      unanswered = unheard = true;
      schedule();
    },
    lane: () => lane,
    answered: () =>
      new Promise((resolve) => {
        if (unanswered) waiting.push(resolve);
        else resolve();
      }),
    leave() {
      if (!unheard || idle()) return;
      unheard = false; // pagehide mostly follows visibilitychange and has nothing to add
      let rest = queue;
      do {
        const events = fitting(rest);
        const text = body(events);
        if (!navigator.sendBeacon?.(url, text)) post(text).catch(debug);
        rest = rest.slice(events.length);
      } while (rest.length);
    },
    stop() {
      busy = stopped = true;
    },
  };
}
