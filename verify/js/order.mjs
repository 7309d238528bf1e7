// The check where orders are known: what a stateless function at checkout cannot do. A shop calls it for
// each new order, from its order webhook say, with the token that the order carries.
import { redeem } from './offer.mjs';
import { verifyOffer } from './node.mjs';

export const lateGrace = 30 * 60; // seconds that a shopper may take from the sum with the discount to "pay"

/**
 * Returns the offer that the order has rightly used, or throws a Refusal: then hold the order and look.
 * An order counts by the time of its own making (Unix seconds), and may be late: the shopper saw the discount in time.
 * It may not be earlier than the offer, and one offer is good for one order.
 */
export async function settleOrder({ token, madeAt, cart }, { keys, issuer, site, uses }) {
  const offer = verifyOffer(token, { keys, issuer, site, now: madeAt, cart, late: lateGrace });
  await redeem(offer, uses, lateGrace);
  return offer;
}
