import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DOMWindow } from 'jsdom';
import { Page, stub } from './page';

type Global = DOMWindow & { Object: typeof Object; Array: typeof Array; String: typeof String };

/** A page that has done this to what everything inherits; then the tag's whole day. */
async function day(prepare: (window: Global) => void): Promise<Page> {
  const page = await Page.open({
    html: `${stub}<script>beckon('product_view', { product: 'mug', items: [{ product: 'a' }] })</script>`,
    prepare: (window) => prepare(window as Global),
  });
  assert.deepEqual(page.kinds, [['page_view', 'product_view']]);
  assert.deepEqual(page.last.batch.e[1]!.p, { product: 'mug', items: [{ product: 'a' }] });
  await page.last.answer();
  page.beckon.consent({ decide: true, measure: true, src: 'banner' });
  page.beckon('cart_add', { product: 'mug' });
  await page.clock.advance(250);
  assert.equal(page.last.batch.c?.src, 'banner');
  await page.last.answer();
  const decision = page.beckon.decision();
  await page.clock.advance(0);
  await page.last.answer(200, { site: 'demo', eligible: true, offer: null, reason: 'TARGETING_MATCH' });
  assert.equal((await decision).eligible, true);
  page.beckon('cart_view');
  await page.leave();
  assert.deepEqual(page.kinds.at(-1), ['cart_view']);
  assert.deepEqual(page.errors, []);
  return page;
}

test('a toJSON on every prototype speaks for none of our events', async () => {
  await day(({ Object, Array, String }) => {
    for (const { prototype } of [Object, Array, String]) {
      globalThis.Object.assign(prototype, { toJSON: () => 'polluted' });
    }
  });
});

test('accessors that everything inherits get no part in requests and listeners', async () => {
  await day(({ Object }) => {
    for (const name of ['headers', 'mode', 'signal', 'cache', 'once', 'bubbles', 'n', 'i', 't', 'u', 'r', 'p', 'v', 's', 'z', 'c', 'e', 'items', 'product', 'use', 'hash']) {
      globalThis.Object.defineProperty(Object.prototype, name, {
        configurable: true,
        get: () => undefined,
        set: () => {
          throw new Error(`${name} was set on the prototype`);
        },
      });
    }
  }).catch((fault: Error) => assert.fail(fault));
});

test('options of requests are ours alone', async () => {
  await day(({ Object }) => void globalThis.Object.assign(Object.prototype, { mode: 'navigate', headers: { 'Content-Type': 'x/y' } }));
});

test('arrays that cannot be iterated are no obstacle', async () => {
  await day(({ Array }) => {
    globalThis.Object.defineProperty(Array.prototype, Symbol.iterator, { value: () => ({ next: 'nothing' }) });
  });
});

test('a page that has its own fetch is asked through it, and what it breaks is sat out', async () => {
  let broken = true;
  const page: Page = await Page.open({
    prepare: (window) => {
      const { fetch } = window as unknown as { fetch: typeof globalThis.fetch };
      Object.assign(window, { fetch: (...args: Parameters<typeof fetch>) => (broken ? undefined : fetch(...args)) });
    },
  });
  assert.equal(page.sent.length, 0);
  broken = false;
  await page.untilSent(1);
  assert.deepEqual(page.kinds, [['page_view']]);
  assert.deepEqual(page.errors, []);
});

test('a beacon function that throws does not reach the page', async () => {
  const page = await Page.atRest();
  page.window.navigator.sendBeacon = () => {
    throw new Error('blocked');
  };
  page.beckon('cart_add');
  await page.leave();
  assert.deepEqual(page.errors, []);
});
