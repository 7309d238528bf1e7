// Settles orders one after the other: node order.mjs < {jwks, issuer, site, lines}, `now` is when each was made.
import { readFileSync } from 'node:fs';
import { MemoryUses, Refusal, parseKeys } from '../js/node.mjs';
import { settleOrder } from '../js/order.mjs';

const { jwks, issuer, site, lines } = JSON.parse(readFileSync(0, 'utf8'));
let clock;
const shop = { keys: parseKeys(jwks), issuer, site, uses: new MemoryUses(() => clock) };
const results = [];
for (const { token, now, cart } of lines) {
  clock = now;
  try {
    results.push({ code: 'ok', offer: await settleOrder({ token, madeAt: now, cart }, shop) });
  } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    results.push({ code: e.code });
  }
}
console.log(JSON.stringify(results));
