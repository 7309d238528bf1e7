// Runs the example of the documentation: node example.mjs < {jwks, lines: [one]}.
import { readFileSync } from 'node:fs';
import { discountFor, placeOrder } from '../js/example.mjs';

const { jwks, lines } = JSON.parse(readFileSync(0, 'utf8'));
const small = await discountFor(lines[0].token, { currency: 'EUR', value: 1 }, jwks);
const { offer } = await discountFor(lines[0].token, { currency: 'EUR', value: 100.01 }, jwks);
const said = [small.refused, offer.id];
let orders = 0;
for (let i = 0; i < 2; i++) said.push(await placeOrder(offer, () => `order ${++orders}`).catch((e) => e.code));
console.log(JSON.stringify(said));
