import { quietly } from './quietly';

import { answered, request } from './sender';
import { site } from './settings';
import { wait } from './wait';
import type { Decision } from './wire';

const enum Within {
  answer = 3_000, // ms, from the first call on an open page
  cookie = 2_000, // ms of it; after that an older one may still do
}

const ask = quietly(async () => {
  await wait(Within.cookie, answered());
  const reply = await request(`/v1/decision?site=${site}&w=${+!!navigator.webdriver}`);
  return reply?.ok && (reply.json() as Promise<Decision>);
});

let asking: Promise<Decision> | 0 | undefined;
let last: Decision | undefined;

const none = (reason: string): Decision => ({ site: site!, eligible: false, offer: null, reason });

const announce = (detail: Decision): Decision => {
  document.dispatchEvent(new CustomEvent('beckon:decision', { __proto__: null, detail } as CustomEventInit));
  return (last = detail);
};

/**
 * Whether this visitor gets a discount, asked when the page is open. Calls that overlap share one answer,
 * and there always is one: whatever goes wrong is `eligible: false` with reason `ERROR`.
 */
export const decide = (opened: Promise<unknown>): Promise<Decision> =>
  (asking ||= opened.then(async () => {
    const mine = asking;
    const decision = (await wait(Within.answer, ask())) || none('ERROR');
    if (mine == asking) asking = 0;
    else if (decision.personalised) return none('NO_CONSENT');
    return announce(decision);
  }));

/** Ends a personalised decision, the one that is still to come included, before the network knows. */
export const withdraw = (): void => {
  asking = 0; // what was asked for under the old choice is no answer to the next question
  if (last?.personalised) announce(none('NO_CONSENT'));
};
