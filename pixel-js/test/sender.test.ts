import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Page } from './page';

const many = (page: Page, n: number): void => {
  for (let i = 0; i < n; i++) page.beckon('product_view', { product: `p${i}` });
};

test('a batch is what the collector expects', async () => {
  const page = await Page.open();
  const { url, method, contentType, init, batch } = page.last;
  assert.equal(`${method} ${url}`, 'POST https://shop.example/px/e');
  assert.equal(contentType, 'text/plain;charset=UTF-8');
  assert.equal(init.keepalive, true);
  assert.equal(init.credentials, 'include');
  assert.deepEqual(Object.keys(batch).sort(), ['e', 's', 'v', 'z']);
  assert.equal(batch.v, 1);
  assert.equal(batch.s, 'demo');
  assert.equal(batch.z, page.clock.now);
  assert.match(batch.e[0]!.i, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test('nothing follows the first batch until it is answered', async () => {
  const page = await Page.open();
  many(page, 30);
  await page.clock.advance(8_999);
  assert.equal(page.sent.length, 1);
  await page.last.answer();
  await page.clock.advance(250);
  assert.equal(page.sent.length, 2);
  assert.equal(page.last.batch.e.length, 30);
});

test('later events are gathered for a quarter of a second', async () => {
  const page = await Page.atRest();
  many(page, 2);
  await page.clock.advance(249);
  assert.equal(page.sent.length, 0);
  many(page, 1);
  await page.clock.advance(1);
  assert.deepEqual(page.kinds, [['product_view', 'product_view', 'product_view']]);
});

test('an event keeps its time and its words, whatever the page does with its objects later', async () => {
  const page = await Page.atRest();
  const props = { product: 'mug', price: 9.5 };
  page.beckon('cart_add', props);
  props.product = 'other';
  const before = page.clock.now;
  await page.clock.advance(250);
  assert.deepEqual(page.last.batch.e[0]?.p, { product: 'mug', price: 9.5 });
  assert.equal(page.last.batch.e[0]?.t, before);
  assert.equal(page.last.batch.z, before + 250);
});

test('with the part ack an acknowledged batch is announced with what became of it', async () => {
  const page = await Page.open({ attributes: { 'data-use': 'ack' } });
  await page.last.answer();
  many(page, 1);
  await page.clock.advance(250);
  const dropped = [{ i: page.last.batch.e[0]?.i, reason: 'bad-value' }];
  await page.last.answer(200, { accepted: 0, dropped }, { 'Beckon-Lane': 'count; gpc' });
  assert.deepEqual(page.events, [
    { type: 'beckon:ack', detail: { accepted: 1, dropped: [], lane: 'decide' } },
    { type: 'beckon:ack', detail: { accepted: 0, dropped, lane: 'count; gpc' } },
  ]);
});

test('hiding sends everything that is not acknowledged, once, by beacon', async () => {
  const page = await Page.open();
  page.beckon('cart_add', { product: 'mug' });
  await page.leave();
  assert.deepEqual(page.kinds, [['page_view'], ['page_view', 'cart_add']]);
  assert.equal(page.last.transport, 'beacon');
  assert.equal(page.last.contentType, 'text/plain;charset=UTF-8');
  assert.equal(page.sent[0]!.batch.e[0]!.i, page.last.batch.e[0]!.i);
});

test('hiding with nothing left sends nothing', async () => {
  const page = await Page.atRest();
  await page.leave();
  assert.equal(page.sent.length, 0);
});

test('coming back to a page is not leaving it', async () => {
  const page = await Page.atRest();
  page.beckon('cart_add');
  await page.show();
  assert.equal(page.sent.length, 0);
});

test('what a page tells while nobody sees it goes out at once, for browsers end such pages without a word', async () => {
  const page = await Page.atRest();
  await page.hide();
  page.beckon('cart_add');
  assert.deepEqual([page.kinds, page.last.transport], [[['cart_add']], 'beacon']);
  await page.show();
  assert.equal(page.sent.length, 1);
});

test('an event between the two signs of leaving is not lost', async () => {
  const page = await Page.atRest();
  page.beckon('cart_add');
  await page.hide();
  page.beckon('offer_dismissed');
  await page.leave();
  assert.deepEqual(page.kinds, [['cart_add'], ['cart_add', 'offer_dismissed']]);
});

test('a beacon is no acknowledgement: a page that stays sends again, with the same id', async () => {
  const page = await Page.atRest();
  page.beckon('cart_add');
  await page.hide();
  await page.show();
  await page.clock.advance(250);
  assert.deepEqual(page.sent.map(({ transport }) => transport), ['beacon', 'fetch']);
  assert.deepEqual(page.sent[0]!.batch.e, page.sent[1]!.batch.e);
});

for (const beacon of [false, undefined]) {
  test(`hiding falls back to fetch when sendBeacon is ${beacon === undefined ? 'missing' : 'refused'}`, async () => {
    const page = await Page.atRest({ beacon });
    page.beckon('cart_add');
    await page.hide();
    assert.deepEqual(page.kinds, [['cart_add']]);
    assert.equal(page.last.transport, 'fetch');
    assert.equal(page.last.init.keepalive, true);
    await page.last.fail();
    assert.deepEqual(page.errors, []);
  });
}

for (const [name, refuse] of [
  ['a network error', (page: Page) => page.last.fail()],
  ['429', (page: Page) => page.last.answer(429)],
  ['502', (page: Page) => page.last.answer(502)],
  ['503', (page: Page) => page.last.answer(503, {}, { 'Retry-After': '' })],
  ['a web page in place of a receipt', (page: Page) => page.last.answer(200, '<!doctype html>', { 'Beckon-Lane': '' })],
] as const) {
  test(`after ${name} the same events are sent again, later each time`, async () => {
    const page = await Page.open();
    const pauses = [];
    for (let tries = 0; tries < 3; tries++) {
      const from = page.clock.now;
      await refuse(page);
      await page.untilSent(tries + 2);
      pauses.push(page.last.at - from);
    }
    assert.deepEqual(pauses, [1_000, 2_000, 4_000]);
    assert.equal(new Set(page.sent.map(({ batch }) => batch.e[0]?.i)).size, 1);
  });
}

test('after a success the first failure is a first one again', async () => {
  const page = await Page.open();
  await page.last.fail();
  await page.untilSent(2);
  await page.last.answer();
  page.beckon('cart_add');
  await page.untilSent(3);
  const from = page.clock.now;
  await page.last.fail();
  await page.untilSent(4);
  assert.equal(page.last.at - from, 1_250);
});

for (const [asked, pause] of [['30', 31_000], ['Wed, 21 Oct 2026 07:28:00 GMT', 1_000], ['0', 1_000]] as const) {
  test(`Retry-After: ${asked} is sat out before our own pause`, async () => {
    const page = await Page.open();
    await page.last.answer(503, {}, { 'Retry-After': asked });
    page.beckon('cart_add');
    await page.clock.advance(pause - 1);
    assert.equal(page.sent.length, 1);
    await page.clock.advance(1);
    assert.deepEqual(page.kinds[1], ['page_view', 'cart_add']);
  });
}

test('a pause is up to as long again, so that visitors do not come back in one moment', async () => {
  const page = await Page.open({ prepare: (window) => (window.Math.random = () => 0.999) });
  await page.last.fail();
  await page.clock.advance(1_998);
  assert.equal(page.sent.length, 1);
  await page.clock.advance(1);
  assert.equal(page.sent.length, 2);
});

test('the tag gives up politely: each pause is twice the one before, whatever happens meanwhile', async () => {
  const page = await Page.open();
  for (let tries = 1; tries <= 13; tries++) {
    await page.last.fail();
    page.beckon('cart_view');
    const from = page.clock.now;
    await page.clock.advance(1_000 * 2 ** (tries - 1));
    assert.equal(page.last.at - from, 1_000 * 2 ** (tries - 1));
  }
  assert.equal(page.sent.length, 14); // the last one after more than an hour
  await page.leave();
  assert.equal(page.last.transport, 'beacon');
  assert.equal(page.last.batch.e.length, 14);
});

test('after a failure hiding tries again what a beacon has carried already', async () => {
  const page = await Page.open();
  await page.hide();
  await page.sent[0]!.fail();
  await page.hide();
  assert.deepEqual(page.sent.map(({ transport }) => transport), ['fetch', 'beacon', 'beacon']);
});

test('a request without an answer is given up and tried again', async () => {
  const page = await Page.open();
  await page.clock.advance(11_000);
  assert.equal(page.sent.length, 2);
  await page.last.answer();
  await page.sent[0]!.answer();
  await page.clock.advance(60_000);
  assert.equal(page.sent.length, 2);
});

test('a refused batch is dropped, and the next one is sent', async () => {
  const page = await Page.open({ attributes: { 'data-debug': '' } });
  await page.last.answer(403, {}, { 'Beckon-Reason': 'origin-not-listed' });
  assert.ok(page.words.some((words) => String(words).includes('origin-not-listed')));
  assert.deepEqual(page.events, []);
  page.beckon('cart_add');
  await page.clock.advance(250);
  assert.deepEqual(page.kinds[1], ['cart_add']);
});

test('a full queue lets the oldest events go', async () => {
  const page = await Page.open();
  many(page, 150);
  await page.last.answer();
  await page.clock.advance(250);
  assert.equal(page.last.batch.e.length, 100);
  assert.equal(page.last.batch.e.at(-1)?.p?.product, 'p149');
});

test('the queue never outgrows one request that browser and collector take', async () => {
  const page = await Page.open();
  const items = Array.from({ length: 50 }, (_, i) => ({ product: `テスト${i}`.repeat(5), quantity: 1, price: 1 }));
  for (let i = 0; i < 30; i++) page.beckon('purchase', { order: `o${i}`, items });
  await page.leave();
  assert.ok(Buffer.byteLength(page.last.body) <= 65_536);
  assert.equal(page.last.batch.e.at(-1)?.p?.order, 'o29');
  assert.ok(page.last.batch.e.length > 3);
});
