// The signature by Node's own crypto, at once: verifyOffer(token, {keys, issuer, site, now, cart}).
import { createPublicKey, verify } from 'node:crypto';
import { Refusal, readOffer, readToken } from './offer.mjs';

export { MemoryUses, Refusal, parseKeys, redeem } from './offer.mjs';

/** Returns the offer, or throws a Refusal. It does not use the offer up: see redeem. */
export function verifyOffer(token, { keys, now = Math.floor(Date.now() / 1000), ...want }) {
  const { key, signed, signature, payload } = readToken(token, keys);
  if (!verify(null, signed, createPublicKey({ key, format: 'jwk' }), signature)) throw new Refusal('bad-signature');
  return readOffer(payload, { now, ...want });
}
