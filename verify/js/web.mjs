// The signature by Web Crypto: workers at the edge, Deno, Bun, Node, and browsers that know Ed25519.
import { Refusal, readOffer, readToken } from './offer.mjs';

export { MemoryUses, Refusal, parseKeys, redeem } from './offer.mjs';

/** Resolves to the offer, or rejects with a Refusal. It does not use the offer up: see redeem. */
export async function verifyOffer(token, { keys, now = Math.floor(Date.now() / 1000), ...want }) {
  const { key, signed, signature, payload } = readToken(token, keys);
  const imported = await crypto.subtle.importKey('jwk', key, { name: 'Ed25519' }, false, ['verify']);
  if (!(await crypto.subtle.verify({ name: 'Ed25519' }, imported, signature, signed))) throw new Refusal('bad-signature');
  return readOffer(payload, { now, ...want });
}
