import { announce } from './announce';
import { debug, driven, endpoint, site } from './tag';
import type { Decision } from './wire';
import { within } from './within';

const deadline = 3_000; // ms, from the first call on an open page to the answer
const cookieWithin = 2_000; // ms of it to wait for the cookie; after that an older one may still do

export interface Decider {
  /**
   * Asks whether this visitor gets a discount. Calls that overlap share one answer, and there always
   * is one: whatever goes wrong is `eligible: false` with reason `ERROR`.
   */
  decision(): Promise<Decision>;
  /** Ends a personalised decision, the one that is still to come included, before the network knows. */
  withdraw(): void;
}

export function startDecider(opened: Promise<void>, answered: () => Promise<void>): Decider {
  let asking: Promise<Decision> | undefined;
  let last: Decision | undefined;

  const none = (reason: string): Decision => ({ site, eligible: false, offer: null, reason });

  const tell = (decision: Decision): Decision => {
    announce('beckon:decision', (last = decision));
    return decision;
  };

  const ask = async (): Promise<Decision> => {
    await within(cookieWithin, answered()).catch(debug);
    const query = `site=${encodeURIComponent(site)}${driven() ? '&w=1' : ''}`;
    const reply = await fetch(`${endpoint}/v1/decision?${query}`, { credentials: 'include' });
    if (!reply.ok) throw reply.status;
    return reply.json();
  };

  const settle = async (): Promise<Decision> => {
    await opened;
    const mine = asking;
    const decision = await within(deadline, ask()).catch((fault): Decision => {
      debug(fault);
      return none('ERROR');
    });
    const stale = mine !== asking && decision.personalised;
    if (mine === asking) asking = undefined;
    return stale ? none('NO_CONSENT') : tell(decision);
  };

  return {
    decision: () => (asking ??= settle()),
    withdraw() {
      asking = undefined; // what was asked for under the old choice is no answer to the next question
      if (last?.personalised) tell(none('NO_CONSENT'));
    },
  };
}
