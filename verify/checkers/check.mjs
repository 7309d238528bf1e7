// Runs lines of tokens through one of the JavaScript verifiers: node check.mjs node|web < lines.
import { readFileSync } from 'node:fs';

const { verifyOffer, parseKeys, redeem, MemoryUses, Refusal } = await import(`../js/${process.argv[2]}.mjs`);
const { jwks, issuer, site, lines } = JSON.parse(readFileSync(0, 'utf8'));
const keys = parseKeys(jwks);
const uses = new MemoryUses(() => lines[0].now);
const results = [];
for (const { token, now, cart, redeem: use } of lines) {
  try {
    const offer = await verifyOffer(token, { keys, issuer, site, now, cart });
    if (use) await redeem(offer, uses);
    results.push({ code: 'ok', offer });
  } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    results.push({ code: e.code });
  }
}
console.log(JSON.stringify(results));
