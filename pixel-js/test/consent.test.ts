import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Page, stub } from './page';

const granted = { decide: true, measure: true, src: 'banner', ver: '2026-05' };
/** Where the visit came from, which the core adds to each choice. */
const from = { u: 'https://shop.example/', r: '' };

test('a choice is told at once, alone if there is nothing else to tell', async () => {
  const page = await Page.atRest();
  page.beckon.consent(granted);
  await page.clock.advance(0);
  assert.deepEqual(page.last.batch.c, { ...granted, at: page.clock.now, ...from });
  assert.deepEqual(page.last.batch.e, []);
});

test('a choice goes with every batch after it', async () => {
  const page = await Page.atRest();
  const at = page.clock.now;
  page.beckon('consent', granted);
  await page.clock.advance(0);
  await page.last.answer();
  page.beckon('cart_add');
  await page.clock.advance(250);
  assert.deepEqual(page.last.batch.c, { ...granted, at, ...from });
});

test('a choice known before the script was there is in the first batch', async () => {
  const page = await Page.open({
    html: `${stub}<script>beckon('consent', { decide: true }); beckon('product_view', { product: 'mug' })</script>`,
  });
  assert.deepEqual(page.kinds, [['page_view', 'product_view']]);
  assert.deepEqual(page.last.batch.c, { decide: true, measure: false, at: page.clock.now, ...from });
});

test('what is not granted in so many words is not granted', async () => {
  const page = await Page.open();
  page.beckon.consent({ decide: 'false', measure: 1, email: 'a@b.example' } as never);
  await page.last.answer();
  assert.deepEqual(page.last.batch.c, { decide: false, measure: false, at: page.clock.now, ...from });
});

test('a choice made while a batch is on its way follows it, and withdrawal reaches what is unsent', async () => {
  const page = await Page.open();
  page.beckon.consent(granted);
  page.beckon('cart_add');
  page.beckon.consent({ decide: false });
  assert.ok(!page.last.body.includes('"c"'));
  await page.last.answer();
  assert.equal(page.sent.length, 2);
  assert.equal(page.last.batch.c?.decide, false);
  assert.deepEqual(page.kinds[1], ['cart_add']);
  await page.last.answer();
  await page.clock.advance(60_000);
  assert.equal(page.sent.length, 2);
});

test('a choice made on the way out leaves with the beacon', async () => {
  const page = await Page.atRest();
  page.beckon.consent({ decide: false });
  await page.hide();
  const beacon = page.sent.find(({ transport }) => transport === 'beacon');
  assert.equal(beacon?.batch.c?.decide, false);
});

test('a choice that cannot be written down is no choice', async () => {
  const page = await Page.open();
  const src: unknown[] = [];
  src.push(src);
  page.beckon.consent({ decide: true, src } as never);
  page.beckon.consent(undefined as never);
  await page.last.answer();
  page.beckon('cart_add');
  await page.clock.advance(250);
  assert.deepEqual(page.kinds[1], ['cart_add']);
  assert.equal(page.last.batch.c, undefined);
});

test('a choice carries the page that the visit landed on and who referred to it, though the visitor has gone on', async () => {
  const page = await Page.atRest({ url: 'https://shop.example/a?utm_source=mail', referrer: 'https://search.example/' });
  page.window.history.pushState({}, '', '/b');
  page.beckon.consent(granted);
  await page.clock.advance(250);
  assert.equal(page.last.batch.c?.u, 'https://shop.example/a?utm_source=mail');
  assert.equal(page.last.batch.c?.r, 'https://search.example/');
  assert.deepEqual(page.kinds, [['page_view']]); // of the page after it; that of the landing is not told again
});
