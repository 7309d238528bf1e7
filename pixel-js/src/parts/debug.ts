import type { Core } from '../core';
import { watchRequests } from '../watchRequests';
import { laneHeader, reasonHeader, type Batch } from '../wire';

const lookEvery = 1_000; // ms

/** Tells on the console what is sent, what was answered, and why nothing was sent. */
export default function debug(core: Core): void {
  const { data, endpoint, queue, site } = core;
  const say = (...words: unknown[]): void => console.info('beckon:', ...words); // browsers hide console.debug
  let why = data['consent'] ? `data-consent="${data['consent']}" has not spoken` : 'the page is loading'; // why events wait
  let said: unknown = 0;

  core.debug = say;
  say(site ? `site ${site}, at ${endpoint || '/'}` : 'no data-site');

  watchRequests(endpoint, (body) => {
    const batch = body ? (JSON.parse(body as string) as Batch) : undefined;
    const what = batch ? `${batch.e.map(({ n }) => n)}${batch.c ? ' and a choice' : ''}` : 'decision';
    say(batch ? 'sends' : 'asks for', what, batch ?? '');
    why = 'an answer comes first';
    return async (reply) => {
      if (reply === true) return say('left by beacon:', what);
      const { status = 0, headers } = reply || {};
      const later = !status || status === 429 || status > 499;
      if (batch) why = later ? 'tried again later' : '';
      say(
        later ? 'not taken:' : status > 399 ? 'refused and dropped:' : 'accepted:',
        what,
        status || 'no answer: offline, blocked, CORS or CSP',
        ...[laneHeader, reasonHeader, 'Retry-After'].map((name) => headers?.get(name) ?? ''),
        status === 200 ? await (reply as Response).json() : '',
      );
    };
  });

  setInterval(() => {
    const { length } = queue();
    const waits = length && `${length} waiting: ${why}`;
    if (waits !== said && (said = waits)) say(waits);
  }, lookEvery);
}
