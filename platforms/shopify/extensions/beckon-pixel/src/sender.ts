import type { Choice } from './choice';
import type { Props } from './events';

const queueLimit = 50; // events; the oldest go first
const patience = 4; // failures in a row, 15 s in all; then what waits is given up
const batchBytes = 60_000; // 64 KiB is the most that may outlive its page; a letter has three bytes at most

export interface Told {
  readonly n: string;
  readonly i: string;
  readonly t: number;
  readonly u: string;
  readonly r: string | undefined;
  readonly p: Props | undefined;
}

export interface Sender {
  push(event: Told): void;
  /** The token that speaks for the visitor. An empty one takes it away; none changes nothing. */
  link(token: string | undefined): void;
  choose(choice: Choice | undefined): void;
}

/**
 * Brings events to the collector. Each goes out at once, since the next page may come at any moment; what
 * happens before there is a token waits for it. A failed request is tried again, with the same ids. From
 * `Origin: null` a refusal cannot be told from a broken network, so every failure counts the same and their
 * number is bounded.
 */
export function startSender(url: string, site: string): Sender {
  let waiting: readonly Told[] = [];
  let k = '';
  let choice: Choice | undefined;
  let untold = false; // the choice, alone
  let failures = 0; // in a row
  let resting = false;

  const flush = (): void => {
    while (!resting && k && (waiting.length || untold)) {
      const events = fitting(waiting);
      waiting = waiting.slice(events.length);
      untold = false;
      void deliver(events);
    }
  };

  const deliver = async (events: readonly Told[]): Promise<void> => {
    const used = k;
    try {
      const reply = await fetch(url, {
        method: 'POST',
        body: JSON.stringify({ v: 1, s: site, z: Date.now(), c: choice, k, e: events }), // a string is text/plain: no preflight
        keepalive: true,
        credentials: 'omit',
      });
      if (reply.status === 429 || reply.status >= 500) throw reply.status;
      failures = 0;
    } catch {
      failures++;
      if (failures > patience) {
        failures = 0;
        if (k === used) k = ''; // it may be the token that is refused: wait for another
        return;
      }
      waiting = [...events, ...waiting].slice(-queueLimit);
      untold = choice !== undefined;
      if (resting) return; // another request failed, too
      resting = true;
      setTimeout(() => {
        resting = false;
        flush();
      }, 500 * 2 ** failures);
    }
  };

  return {
    push(event) {
      if (choice && !choice.measure) return;
      waiting = [...waiting, event].slice(-queueLimit);
      flush();
    },
    link(token) {
      if (token === undefined) return;
      k = token;
      flush();
    },
    choose(next) {
      choice = next;
      untold = next !== undefined;
      if (next && !next.measure) waiting = [];
      flush();
    },
  };
}

/** As many of the events as one request may carry, the first of them at least. */
function fitting(events: readonly Told[]): readonly Told[] {
  let some = events;
  while (some.length > 1 && JSON.stringify(some).length * 3 > batchBytes) some = some.slice(0, -1);
  return some;
}
