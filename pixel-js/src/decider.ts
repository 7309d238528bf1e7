import { announce } from './announce';
import { debug, driven, endpoint, site } from './tag';
import type { Decision } from './wire';
import { within } from './within';

const deadline = 3_000; // ms, from the first call on an open page to the answer
const cookieWithin = 2_000; // ms of it to wait for the cookie; after that an older one may still do

/**
 * Returns the function that asks whether this visitor gets a discount. Calls that overlap share one
 * answer, and there always is one: whatever goes wrong is `eligible: false` with reason `ERROR`.
 */
export function startDecider(
  opened: Promise<void>,
  answered: () => Promise<void>,
): () => Promise<Decision> {
  let asking: Promise<Decision> | undefined;

  const ask = async (): Promise<Decision> => {
    await within(cookieWithin, answered()).catch(debug);
    const query = `site=${encodeURIComponent(site)}${driven() ? '&w=1' : ''}`;
    const reply = await fetch(`${endpoint}/v1/decision?${query}`, { credentials: 'include' });
    if (!reply.ok) throw reply.status;
    return reply.json();
  };

  const settle = async (): Promise<Decision> => {
    await opened;
    const decision = await within(deadline, ask()).catch((fault): Decision => {
      debug(fault);
      return { site, eligible: false, offer: null, reason: 'ERROR' };
    });
    asking = undefined;
    announce('beckon:decision', decision);
    return decision;
  };

  return () => (asking ??= settle());
}
