import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Location, RegisterInit } from '@shopify/web-pixels-extension';
import type { Kind, Props } from '../../pixel-js/src/wire';
import { shopify } from '../../pixel-js/src/lanes';
import { page } from '../shopify/extensions/beckon-pixel/src/address';
import { decideWords } from '../shopify/extensions/beckon-pixel/src/choice';
import { kinds, type Props as Sent } from '../shopify/extensions/beckon-pixel/src/events';
import { Sandbox } from './sandbox';
import { init, personal, visit } from './shopifyEvents';

const now = Date.parse('2026-11-27T10:00:00Z');
const settings = { endpoint: 'https://px.shop.example/', site: 'demo' };
const start = (link?: string, more: Record<string, unknown> = {}, permissions: Partial<RegisterInit['customerPrivacy']> = {}): Sandbox =>
  new Sandbox(init(link, permissions), { ...settings, ...more });

async function play(sandbox: Sandbox, link: string | undefined): Promise<void> {
  for (const event of Object.values(visit(link, now))) sandbox.publish(event);
  await sandbox.settle();
}

test('each standard event becomes one of ours, with its props', async () => {
  const sandbox = start('LINK');
  await play(sandbox, 'LINK');
  const items = [
    { product: '7808926384363', variant: '43218082857195', quantity: 2, price: 45 },
    { product: '7808926253291', variant: '43218082726123', quantity: 1, price: 17.55 },
  ];
  const lantern = { product: '7808926384363', variant: '43218082857195', price: 50, currency: 'EUR' };
  assert.deepEqual(
    sandbox.events.map(({ n, u, p }) => [n, u, p]),
    [
      ['page_view', 'https://shop.example/checkouts/information?utm_source=letter', undefined],
      ['collection_view', 'https://shop.example/en-de/collections/lamps', { category: 'lamps' }],
      ['search', 'https://shop.example/search', { query_length: 19 }],
      ['product_view', 'https://shop.example/products/ember-lantern?utm_campaign=winter', lantern],
      ['cart_add', 'https://shop.example/products/ember-lantern', { ...lantern, quantity: 2 }],
      ['cart_view', 'https://shop.example/cart', { cart_value: 119.5, currency: 'EUR', items: [{ ...items[0], price: 50 }, { ...items[1], price: 19.5 }] }],
      ['cart_remove', 'https://shop.example/cart', { ...lantern, quantity: 1 }],
      ['checkout_start', 'https://shop.example/checkouts/information', { cart_value: 107.55, currency: 'EUR', items }],
      [
        'purchase',
        'https://shop.example/checkouts/thank-you',
        {
          // 107.55 and 4.90 hold 17.95 of tax: 90.38 and 4.12 without, and all of it adds up to 112.45 again
          order: '5551', currency: 'EUR', value: 90.3822, tax: 17.95, shipping: 4.1178, discount: 11.95, coupon: 'WINTER', items,
          offer: 'welcome-back', decision: '4be3cc6a8d1c4ef09c1f1ab1e2d3c4b5',
        },
      ],
    ],
  );
  for (const { url, init: request, body } of sandbox.sent) {
    assert.equal(url, 'https://px.shop.example/e');
    assert.deepEqual([request.method, request.keepalive, request.credentials, request.headers], ['POST', true, 'omit', undefined]);
    assert.equal(typeof request.body, 'string'); // text/plain: a sandbox gets no answer to a preflight
    assert.deepEqual([body.v, body.s, body.k, body.c], [1, 'demo', 'LINK', undefined]);
  }
});

test('nothing that names a person leaves the sandbox', async () => {
  const sandbox = start('LINK', { pages: 'all' });
  await play(sandbox, 'LINK');
  assert.equal(sandbox.events.length, 9);
  const said = sandbox.sent.map(({ text }) => text).join('\n');
  for (const word of personal) assert.ok(!said.includes(word), `${word} is in ${said}`);
  assert.deepEqual(new Set(sandbox.events.map(({ r }) => r)), new Set(['https://shop.example']));
});

test('an event that is delivered twice has one id, a UUIDv7 of its time, and no other has it', async () => {
  const [once, twice] = [start('LINK'), start('LINK')];
  await play(once, 'LINK');
  await play(twice, 'LINK');
  const ids = once.events.map(({ i }) => i);
  assert.deepEqual(twice.events.map(({ i }) => i), ids);
  assert.equal(new Set(ids).size, ids.length);
  for (const { i, t } of once.events) {
    assert.match(i, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(Number.parseInt(i.replace('-', '').slice(0, 12), 16), t);
  }
});

test('page views of the shop are the tag\'s, unless there is no tag', async () => {
  const storefront = visit('LINK', now);
  const page = { ...storefront.page_viewed!, context: storefront.product_viewed!.context };
  const beside = start('LINK');
  beside.publish(page);
  assert.equal(beside.sent.length, 0);
  const alone = start('LINK', { pages: 'all' });
  alone.publish(page);
  assert.deepEqual(alone.events.map(({ n }) => n), ['page_view']);
});

test('without a link token nothing is sent; what happened before it waits, fifty events at most', async () => {
  const sandbox = start();
  await play(sandbox, undefined);
  for (let i = 0; i < 60; i++) sandbox.publish({ ...visit(undefined, now).product_viewed!, id: `more ${i}` } as never);
  assert.equal(sandbox.sent.length, 0);
  sandbox.publish({ name: 'beckon_link', ...{ customData: { k: 'LATER' } } });
  await sandbox.settle();
  assert.equal(sandbox.events.length, 50);
  assert.deepEqual(new Set(sandbox.sent.map(({ body }) => body.k)), new Set(['LATER']));
  for (const { text } of sandbox.sent) assert.ok(new TextEncoder().encode(text).length < 65_536);
});

test('the token comes with the cart of an event, too, and can be taken away', async () => {
  const sandbox = start();
  sandbox.publish(visit('FROM CART', now).cart_viewed);
  assert.equal(sandbox.sent[0]?.body.k, 'FROM CART');
  sandbox.publish({ name: 'beckon_link', ...{ customData: { k: '' } } });
  sandbox.publish(visit(undefined, now).product_viewed);
  assert.equal(sandbox.sent.length, 1);
});

test('a failed request is tried again with its ids, four times, and then left', async () => {
  const sandbox = start('LINK');
  sandbox.replies = [undefined, 503, 429, 500, undefined];
  sandbox.publish(visit('LINK', now).product_viewed);
  await sandbox.settle();
  const waits: number[] = [];
  while (sandbox.timers.length) {
    waits.push(sandbox.timers[0]!.after);
    await sandbox.passTime();
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000]);
  assert.equal(sandbox.sent.length, 5);
  assert.equal(new Set(sandbox.events.map(({ i }) => i)).size, 1);
  sandbox.publish(visit('LINK', now).cart_viewed); // brings the token again: another chance
  await sandbox.settle();
  assert.deepEqual(sandbox.sent.at(-1)!.body.e.map(({ n }) => n), ['cart_view']);
});

test('what happens during a pause goes along when it ends', async () => {
  const sandbox = start('LINK');
  sandbox.replies = [undefined];
  sandbox.publish(visit('LINK', now).product_viewed);
  await sandbox.settle();
  sandbox.publish(visit('LINK', now).search_submitted);
  assert.equal(sandbox.sent.length, 1);
  await sandbox.passTime();
  assert.deepEqual(sandbox.sent[1]?.body.e.map(({ n }) => n), ['product_view', 'search']);
});

test('permissions at the start only lower; an answer of the visitor is told at once, with its time', async () => {
  const choices = (sandbox: Sandbox): unknown[] => sandbox.sent.map(({ body: { c, e } }) => [c?.['decide'], c?.['measure'], c?.['src'], 'at' in (c ?? {}), e.length]);

  const lowered = start('LINK', {}, { saleOfDataAllowed: false });
  lowered.publish(visit('LINK', now).product_viewed);
  await lowered.settle();
  assert.deepEqual(choices(lowered), [[false, true, 'shopify', false, 0], [false, true, 'shopify', false, 1]]);

  for (const allowed of [start('LINK', {}, { preferencesProcessingAllowed: false }), start('LINK', { decide: ' preferences ' }, { marketingAllowed: false })]) {
    allowed.publish(visit('LINK', now).product_viewed);
    assert.deepEqual(allowed.sent[0]?.body.c, undefined);
  }
  const unheardOf = start('LINK', { decide: 'marketing toys' });
  assert.equal(unheardOf.sent[0]?.body.c?.['decide'], false);

  const asked = start('LINK');
  asked.consent({ analyticsProcessingAllowed: false, marketingAllowed: false, preferencesProcessingAllowed: false });
  asked.publish(visit('LINK', now).product_viewed);
  await asked.settle();
  assert.deepEqual(choices(asked), [[false, false, 'shopify', true, 0]]); // and nothing afterwards
  asked.consent({});
  asked.publish(visit('LINK', now).product_viewed);
  await asked.settle();
  assert.deepEqual(choices(asked).slice(1), [[true, true, 'shopify', true, 0], [true, true, 'shopify', true, 1]]);

  const own = start('LINK', { consent: 'own' }, { marketingAllowed: false });
  own.consent({ analyticsProcessingAllowed: false });
  own.publish(visit('LINK', now).product_viewed);
  assert.deepEqual(choices(own), [[undefined, undefined, undefined, false, 1]]);
});

test('tax beside the price leaves value and shipping as they are; missing sums are left out', async () => {
  const { checkout_completed: done } = visit('LINK', now);
  const { checkout } = done!.data;
  const sums = (change: Partial<typeof checkout>): unknown[] => {
    const sandbox = start('LINK');
    sandbox.publish({ ...done!, data: { checkout: { ...checkout, ...change } } } as never);
    const p = sandbox.events[0]!.p!;
    return [p['value'], p['tax'], p['shipping'], p['discount']];
  };
  const usd = (amount: number) => ({ amount, currencyCode: 'USD' });
  assert.deepEqual(sums({ subtotalPrice: usd(100), totalTax: usd(8.25), totalPrice: usd(113.15), delivery: null }), [100, 8.25, 4.9, 11.95]);
  assert.deepEqual(sums({ totalTax: usd(0), totalPrice: usd(112.45) }), [107.55, 0, 4.9, 11.95]);
  assert.deepEqual(sums({ subtotalPrice: null, discountsAmount: null }), [undefined, undefined, undefined, undefined]);
});

test('of a page\'s address no secret is told, wherever it stands below a folder that is not the shop\'s words', () => {
  const secret = 'Z2NwLWV1cm9wZS13ZXN0MTow';
  for (const locale of ['', '/en', '/en-de', '/pt-BR']) {
    for (const first of ['checkouts', '12345/checkouts', '12345/orders', 'orders', 'account', 'gift_cards/12345', 'cart/c', 'cart', 'apps/club', 'customer_authentication', '12345']) {
      for (const rest of [secret, `${secret}/thank-you`, `cn/${secret}/${secret}`, `${secret}/${secret}?${secret}=${secret}&key=${secret}#${secret}`]) {
        const { origin, pathname, search } = new URL(`https://shop.example${locale}/${first}/${rest}`);
        const told = page({ origin, pathname, search } as Location);
        assert.ok(!told.includes(secret) && told.startsWith(`https://shop.example${locale}`), told);
      }
    }
    for (const path of ['', '/products/lantern', '/collections/lamps/products/lantern', '/pages/about', '/blogs/news/lamps', '/policies/privacy']) {
      const { origin, pathname, search } = new URL(`https://shop.example${locale}${path}?utm_source=a&utm_medium=b&q=${secret}`);
      assert.equal(page({ origin, pathname, search } as Location), `https://shop.example${pathname}?utm_source=a&utm_medium=b`);
    }
  }
});

test('the words for lane decide are those of the tag', () => assert.equal(decideWords, shopify.decide));

test('the names are those of the reference and of the wire', () => {
  const named: Record<string, Kind> = kinds; // the type check: every kind is one of the wire's
  const shape: keyof Props = '' as keyof Sent; // and every prop
  assert.equal(shape, '');
  const table = readFileSync('../docs/reference.md', 'utf8').matchAll(/^\| `(\w+)` \| (?:`\w+`|-) \| `(\w+)` \| /gm);
  assert.deepEqual(Object.fromEntries([...table].map(([, kind, shopify]) => [shopify, kind])), named);
});

test('a pixel without settings does nothing', () => {
  const sandbox = new Sandbox(init('LINK'), {});
  sandbox.publish({ name: 'page_viewed' });
  assert.equal(sandbox.sent.length, 0);
});
