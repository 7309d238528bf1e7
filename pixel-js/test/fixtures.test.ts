/**
 * Writes fixtures/: batches exactly as the tag sends them, for the collector's tests to read. Time
 * and chance are fixed, so a fixture changes only when the wire does.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Kind, Props } from '../src/wire';
import { Page, stub, type Sent } from './page';

const folder = 'fixtures';
const written: string[] = [];

function record(name: string, { body, transport, contentType }: Sent): void {
  const text = `${JSON.stringify({ name, body, transport, contentType }, null, 2)}\n`;
  const file = `${folder}/${name}.json`;
  mkdirSync(folder, { recursive: true });
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
  written.push(`${name}.json`);
}

const product = { product: 'mug-blue', variant: 'large', category: 'mugs', price: 12.5, currency: 'EUR' };
const offer = { offer: 'welcome-back', decision: 'd1f0a2' };
const props: Record<Kind, Props | undefined> = {
  page_view: undefined,
  product_view: product,
  collection_view: { category: 'mugs' },
  search: { query_length: 11 },
  cart_view: { cart_value: 25, currency: 'EUR' },
  cart_add: { ...product, quantity: 2, cart_value: 25 },
  cart_remove: { ...product, quantity: 1, cart_value: 12.5 },
  checkout_start: { cart_value: 25, currency: 'EUR' },
  purchase: {
    order: 'A-1001',
    value: 52.4,
    currency: 'EUR',
    discount: 5.82,
    tax: 9.31,
    shipping: 4.9,
    coupon: 'WELCOME',
    ...offer,
    items: [
      { product: 'mug-blue', variant: 'large', quantity: 2, price: 12.5 },
      { product: 'teapot', quantity: 1, price: 33.22 },
    ],
  },
  offer_shown: offer,
  offer_accepted: offer,
  offer_dismissed: offer,
};

const address = 'https://shop.example/mugs/blue?utm_source=mail&utm_medium=email&utm_campaign=spring';

for (const [kind, detail] of Object.entries(props)) {
  test(`fixture: ${kind}`, async () => {
    const page = await Page.atRest({ url: address });
    page.beckon(kind as Kind, detail);
    await page.clock.advance(250);
    record(`kind_${kind}`, page.last);
    assert.deepEqual(page.last.batch.e[0]?.p, detail);
  });
}

test('fixture: the first page view', async () => {
  const page = await Page.open({ url: address, referrer: 'https://search.example/' });
  record('first_page_view', page.last);
});

test('fixture: calls from before the script', async () => {
  const page = await Page.open({
    url: address,
    html: `${stub}<script>beckon('consent', { decide: true, measure: true, src: 'banner', ver: '2026-05' });
      beckon('product_view', { product: 'mug-blue' })</script>`,
  });
  record('early_calls', page.last);
  assert.equal(page.last.batch.e.length, 2);
});

test('fixture: a browser that a program drives', async () => {
  const page = await Page.open({
    url: address,
    prepare: ({ navigator }) => Object.defineProperty(navigator, 'webdriver', { value: true }),
  });
  record('driven', page.last);
  assert.equal(page.last.batch.w, true);
});

test('fixture: history navigation', async () => {
  const page = await Page.atRest({ url: 'https://shop.example/mugs' });
  page.window.history.pushState({}, '', '/mugs/blue');
  await page.clock.advance(100);
  page.window.history.replaceState({}, '', '/mugs/blue?size=large#details');
  await page.clock.advance(150);
  record('history_navigation', page.last);
  assert.equal(page.last.batch.e.length, 2);
});

test('fixture: a choice, given and withdrawn', async () => {
  const page = await Page.atRest();
  page.beckon.consent({ decide: true, measure: true, src: 'banner', ver: '2026-05' });
  await page.clock.advance(0);
  record('consent_given', page.last);
  await page.last.answer();
  page.beckon('cart_add', props.cart_add);
  await page.clock.advance(250);
  record('consent_with_events', page.last);
  await page.last.answer();
  page.beckon.consent({ decide: false, measure: true, src: 'banner', ver: '2026-05' });
  await page.clock.advance(0);
  record('consent_withdrawn', page.last);
});

test('fixture: a beacon when the page is hidden before its first answer', async () => {
  const page = await Page.open({ url: address });
  await page.clock.advance(40);
  page.beckon('cart_add', props.cart_add);
  await page.hide();
  record('beacon_on_hide', page.last);
  assert.equal(page.last.transport, 'beacon');
});

test('fixture: the largest batch', async () => {
  const page = await Page.open({ url: 'https://shop.example/mugs' });
  for (let i = 0; i < 150; i++) page.beckon('product_view', { product: `p${i}` });
  await page.last.answer();
  await page.clock.advance(250);
  record('full_batch', page.last);
  assert.equal(page.last.batch.e.length, 100);
});

test('fixture: words from everywhere', async () => {
  const page = await Page.atRest({ url: 'https://shop.example/käse?q=ü' });
  page.beckon('product_view', { product: 'Käse "Zürich" \\ 急須 🫖 </script>\u2028', category: '$& $1' });
  await page.clock.advance(250);
  record('unicode', page.last);
  assert.equal(page.last.batch.e[0]?.p?.category, '$& $1');
});

test('no fixture is left over from a batch that the tag no longer sends', () => {
  assert.deepEqual(readdirSync(folder).sort(), written.sort());
});
