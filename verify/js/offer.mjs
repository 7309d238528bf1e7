// Checks a signed offer at checkout, offline. This file reads tokens and judges their claims; node.mjs
// and web.mjs beside it check the signature, each with the cryptography of its place. Copy this file and
// one of them: there are no dependencies. README.md in the folder above has the rules.

const skew = 60; // seconds by which the clocks of issuer and shop may differ
const maxLength = 8192; // a token has about 500

/** Says why an offer does not count: `code` is the same word in every language. */
export class Refusal extends Error {
  constructor(code) {
    super(`offer refused: ${code}`);
    this.code = code;
  }
}

const refuse = (code) => {
  throw new Refusal(code);
};

/** Reads /.well-known/jwks.json: the issuer's Ed25519 keys (as JWK) by kid. */
export function parseKeys(page) {
  const keys = new Map();
  for (const { kty, crv, kid, x } of page.keys) {
    if (kty === 'OKP' && crv === 'Ed25519' && kid) keys.set(kid, { kty, crv, x });
  }
  return keys;
}

/** First step: what a token says, before it is believed. Then its signature must be checked. */
export function readToken(token, keys) {
  if (typeof token !== 'string' || token.length > maxLength) refuse('malformed');
  const parts = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/.exec(token);
  if (!parts) refuse('malformed');
  const header = flat(bytes(parts[1]));
  if (header.has('crit') || header.get('typ') !== 'JWT') refuse('malformed');
  if (header.get('alg') !== 'EdDSA') refuse('wrong-algorithm'); // neither "none" nor a HMAC under the public key
  const key = keys.get(header.get('kid'));
  if (!key) refuse('unknown-key');
  return { key, signed: new TextEncoder().encode(`${parts[1]}.${parts[2]}`), signature: bytes(parts[3]), payload: parts[2] };
}

/**
 * Last step: the offer of a token whose signature is good. `now` is in Unix seconds. `cart` is
 * {currency, value}: goods before the discount; without it the terms of the cart are not checked. `late` is
 * how many seconds more an offer counts after its end: none at a checkout; order.mjs knows when some.
 */
export function readOffer(payload, { issuer, site, now, cart, late = 0 }) {
  const claims = flat(bytes(payload));
  const text = (name) => typeof claims.get(name) === 'string' && claims.get(name);
  const seconds = (name) => Number.isInteger(claims.get(name)) && claims.get(name) <= 1e11 && Math.max(0, claims.get(name));
  for (const name of ['iss', 'aud', 'sub', 'jti', 'offer', 'kind']) if (!text(name)) refuse('incomplete');
  for (const name of ['iat', 'exp']) if (!seconds(name)) refuse('incomplete');
  let typed = true;
  const optional = (name, none) => {
    const value = claims.has(name) ? claims.get(name) : none;
    typed &&= typeof value === typeof none && Array.isArray(value) === Array.isArray(none);
    return value;
  };
  const offer = {
    id: text('offer'), decision: text('sub'), jti: text('jti'), kind: text('kind'),
    percent: optional('percent', 0), amount: optional('amount', 0), currency: optional('currency', ''),
    min_cart_value: optional('min_cart_value', 0), code: optional('code', ''), applies_to: optional('applies_to', []),
    combinable: optional('combinable', false), issued_at: seconds('iat'), expires_at: seconds('exp'),
  };
  if (text('iss') !== issuer) refuse('wrong-issuer');
  if (text('aud') !== site) refuse('wrong-audience');
  if (!(now >= offer.issued_at - skew)) refuse('not-yet-valid'); // so is a time that is no number
  if (!(now - late < offer.expires_at + skew)) refuse('expired');
  if (!['percent', 'amount', 'free_shipping'].includes(offer.kind)) refuse('unknown-kind');
  if (!typed || !possible(offer)) refuse('bad-value');
  if (cart && offer.currency && cart.currency !== offer.currency) refuse('wrong-currency');
  if (cart && !(units(cart.value) >= units(offer.min_cart_value))) refuse('min-cart'); // what is no number buys nothing
  return offer;
}

/** Uses the offer up, for one order. Call it when the order is written, not when the cart is shown. `late` as above. */
export async function redeem(offer, uses, late = 0) {
  if (!(await uses.claim(offer.jti, offer.expires_at + skew + late))) refuse('used');
}

/**
 * Remembers used offers in one process. A shop keeps them with its orders, in a table with the jti as
 * primary key: INSERT INTO beckon_uses (jti, until) VALUES (?, ?) ON CONFLICT DO NOTHING, and no row
 * inserted means used. To ask first and write then would let two orders have one offer.
 */
export class MemoryUses {
  #until = new Map();

  constructor(now = () => Date.now() / 1000) {
    this.now = now;
  }

  claim(jti, until) {
    for (const [id, end] of this.#until) if (this.now() > end) this.#until.delete(id);
    if (this.#until.has(jti)) return false;
    this.#until.set(jti, until);
    return true;
  }
}

/** Whether the terms are those of the offer's kind. */
function possible(o) {
  for (const money of [o.amount, o.min_cart_value]) {
    if (money < 0 || money > 1e11 || (money > 0 && !/^[A-Z]{3}$/.test(o.currency))) return false;
  }
  if (o.expires_at <= o.issued_at) return false;
  if (o.kind === 'percent') return o.percent > 0 && o.percent <= 100 && o.amount === 0;
  if (o.kind === 'amount') return units(o.amount) > 0 && o.percent === 0;
  return o.percent === 0 && o.amount === 0;
}

/** Money in ten-thousandths, the smallest that an offer knows: whole numbers compare exactly. */
const units = (money) => Math.floor(money * 10_000 + 0.5);

/** Strict base64url: one spelling for the same bytes. */
function bytes(part) {
  let text;
  try {
    text = atob(part.replaceAll('-', '+').replaceAll('_', '/'));
  } catch {
    refuse('malformed');
  }
  if (btoa(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '') !== part) refuse('malformed');
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

/**
 * Reads a JSON object of strings, numbers, truth values and lists of strings that names nothing twice:
 * on anything else the parsers of two languages may disagree.
 */
function flat(utf8) {
  let text, object;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(utf8);
    object = JSON.parse(text);
  } catch {
    refuse('malformed');
  }
  const outside = text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"/g, '');
  const entries = Object.entries(object ?? 0);
  if (outside.split('{').length !== 2 || outside.split(':').length !== entries.length + 1) refuse('malformed');
  for (const [name, value] of entries) {
    const texts = [name, ...(Array.isArray(value) ? value : typeof value === 'string' ? [value] : [])];
    if (!Array.isArray(value) && !['string', 'boolean'].includes(typeof value) && !Number.isFinite(value)) refuse('malformed');
    if (!texts.every((t) => typeof t === 'string' && !/[\p{Surrogate}\uFFFD]/u.test(t))) refuse('malformed'); // half a character
  }
  return new Map(entries);
}
