import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Core } from '../src/core';
import { Page, stub } from './page';

const names = (page: Page): string[] => page.imported.map((url) => /b\.([\w-]+)\./.exec(url)![1]!);
/** A browser with the Navigation API, as most are. */
const navigating = (window: object): unknown => Object.assign(window, { navigation: new EventTarget() });
const plain = { prepare: (window: object) => void navigating(window) };
const bare = { ...plain, attributes: { 'data-endpoint': '-' } };

test('a page that needs no part loads none', async () => {
  assert.deepEqual(names(await Page.atRest(bare)), []);
});

for (const [attributes, html, want] of [
  [{ 'data-use': 'ack names' }, '', ['parts', 'ack', 'names']],
  [{ 'data-debug': '', 'data-use': 'ack' }, '', ['parts', 'debug', 'ack']],
  [{ 'data-consent': 'tcf' }, '', ['parts', 'consent-tcf']],
  [{}, '<div data-beckon-offer></div>', ['parts', 'offer', 'refresh']],
  [{}, '<button data-beckon-event="cart_add"></button>', ['parts', 'event']],
] as const) {
  test(`parts ${want.slice(1).join(', ')} are loaded for ${JSON.stringify(attributes)} ${html}`, async () => {
    const page = await Page.open({ ...plain, attributes, html });
    assert.deepEqual(names(page), want);
    assert.ok(page.imported.every((url) => /^\/px\/b\.[\w-]+\.[0-9a-f]{6}\.js$/.test(url)));
    if (page.sent.length) await page.last.answer();
    page.window.document.dispatchEvent(new page.window.Event('DOMContentLoaded'));
    assert.deepEqual(names(page).filter((name) => name !== 'parts'), want.slice(1), 'once');
  });
}

test('an element that comes with a later page has its part then', async () => {
  const page = await Page.atRest(bare);
  page.window.document.body.innerHTML = '<div data-beckon-offer></div>';
  page.beckon('page_view');
  await page.clock.advance(250);
  await page.last.answer();
  assert.deepEqual(names(page).filter((name) => name !== 'parts'), ['offer', 'refresh']);
});

test('parts that do not come, or hang, hold up the first request for a second at most', async () => {
  const gone = await Page.open({ ...plain, attributes: { 'data-use': 'ack' }, parts: () => Promise.reject(new Error('blocked')) });
  assert.deepEqual(gone.kinds, [['page_view']]);
  assert.deepEqual(gone.errors, []);
  const hung = await Page.open({ ...plain, attributes: { 'data-use': 'ack' }, parts: () => new Promise(() => {}) });
  await hung.clock.advance(999);
  assert.deepEqual(hung.kinds, []);
  await hung.clock.advance(1);
  assert.deepEqual(hung.kinds, [['page_view']]);
});

test('data-consent holds the first request until the first word, which goes with it', async () => {
  const page = await Page.open({ ...plain, attributes: { 'data-consent': 'shopify' } });
  await page.clock.advance(500);
  assert.deepEqual(page.kinds, []);
  page.beckon.consent({ decide: true, measure: true });
  await page.clock.advance(0);
  assert.deepEqual(page.kinds, [['page_view']]);
  assert.equal(page.last.batch.c?.decide, true);
});

test('a page with data-consent that is left before the first word sends all the same', async () => {
  const page = await Page.open({ ...plain, attributes: { 'data-consent': 'shopify' }, html: `${stub}<script>beckon('purchase', { order: 'A-1' })</script>` });
  await page.leave();
  assert.deepEqual(page.kinds, [['page_view', 'purchase']]);
  assert.equal(page.last.transport, 'beacon');
});

test('with the part names a call by another name, an early one too, is told by ours', async () => {
  const page = await Page.open({
    ...plain,
    attributes: { 'data-use': 'names' },
    html: `${stub}<script>beckon('add_to_cart', { currency: 'EUR', items: [{ item_id: 'mug' }, { item_id: 'pot' }] })</script>`,
  });
  assert.deepEqual(page.kinds, [['page_view', 'cart_add', 'cart_add']]);
  assert.deepEqual(page.last.batch.e[1]!.p, { product: 'mug', currency: 'EUR' });
  await page.last.answer();
  (page.beckon as (name: string, detail: object) => void)('checkout_started', { cart_value: 2 });
  await page.clock.advance(250);
  assert.deepEqual(page.kinds[1], ['checkout_start']);
});

test('data-debug says in words what is sent, what was answered and why nothing is sent', async () => {
  const page = await Page.open({ ...plain, attributes: { 'data-debug': '' }, loading: true });
  const said = (text: string): void => assert.ok(page.words.some((words) => words.join(' ').includes(text)), `${text} is not in\n${page.words.join('\n')}`);
  said('site demo, at /px');
  page.beckon('cart_add');
  await page.clock.advance(1_000);
  said('2 waiting: the page is loading');
  await page.loaded();
  said('sends page_view,cart_add');
  await page.clock.advance(1_000);
  said('2 waiting: an answer comes first');
  await page.last.answer(503, {}, { 'Beckon-Reason': 'spool-full', 'Retry-After': '5' });
  said('not taken: page_view,cart_add 503  spool-full 5');
  await page.clock.advance(1_000);
  said('2 waiting: tried again later');
  await page.untilSent(2);
  await page.last.answer(200, { accepted: 1, dropped: [{ i: 'x', reason: 'bad-value' }] });
  said('accepted: page_view,cart_add 200 decide');
  assert.ok(page.words.some((words) => JSON.stringify(words).includes('bad-value')));
  page.beckon.q.push(5 as never);
  await page.clock.advance(0);
  said('TypeError');
  (page.beckon as unknown as Core).debug('not told by', 7, new Error('because'));
  said('beckon: not told by 7 Error: because');
  page.beckon('cart_view');
  await page.hide();
  said('left by beacon: cart_view');
});
