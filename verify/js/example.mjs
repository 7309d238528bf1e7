import { MemoryUses, Refusal, parseKeys, redeem, verifyOffer } from './web.mjs'; // or './node.mjs'

// A shop keeps uses in the database of its orders: see redeem in offer.mjs.
const uses = new MemoryUses();

/** For the cart page, as often as it likes. `page` is the JSON of /.well-known/jwks.json, kept by the shop. */
export async function discountFor(token, cart, page) {
  try {
    const want = { keys: parseKeys(page), issuer: 'https://shop.example/px', site: 'demo', cart };
    return { offer: await verifyOffer(token, want) };
  } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    return { refused: e.code }; // "expired", "min-cart" ...: a word to look up, never a reason to stop the checkout
  }
}

/** For the order, once: rejects with a Refusal, `used`, when another order has had the offer. */
export async function placeOrder(offer, write) {
  await redeem(offer, uses);
  return write();
}
