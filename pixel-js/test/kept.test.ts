import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Page } from './page';

const key = '_bk_demo';
const stored = (page: Page): string | null => page.window.sessionStorage.getItem(key);
const ids = (page: Page): string[] => page.sent.flatMap(({ batch }) => batch.e.map(({ i }) => i));

/** The next page in the same tab: a browser gives it what the one before has kept. */
const after = (page: Page, options: ConstructorParameters<typeof Page>[0] = {}): Promise<Page> =>
  Page.open({
    ...options,
    prepare: (window) => {
      const kept = stored(page);
      if (kept !== null) window.sessionStorage.setItem(key, kept);
    },
  });

test('in the lane decide, what is not answered survives a reload, with its ids', async () => {
  const page = await Page.atRest();
  page.beckon('purchase', { order: 'A-1' });
  await page.leave();
  assert.deepEqual(page.kinds, [['purchase']]);
  const next = await after(page);
  assert.deepEqual(next.kinds, [['page_view', 'purchase']]);
  assert.equal(next.last.batch.e[1]!.i, page.last.batch.e[0]!.i);
  assert.equal(next.last.batch.e[1]!.p!.order, 'A-1');
  assert.equal(stored(next), null);
});

test('it survives a second page that has had no answer either', async () => {
  const page = await Page.atRest();
  page.beckon('purchase');
  await page.leave();
  const second = await after(page);
  await second.last.fail();
  await second.leave();
  const third = await after(second);
  assert.deepEqual(third.kinds, [['page_view', 'page_view', 'purchase']]);
});

for (const lane of ['count; gpc', 'measure; choice', '']) {
  test(`nothing is kept in the lane ${lane || 'that no reply has named'}`, async () => {
    const page = await Page.open();
    if (lane) await page.last.answer(204, {}, { 'Beckon-Lane': lane });
    page.beckon('purchase');
    await page.leave();
    assert.equal(stored(page), null);
  });
}

test('a page that is left before it has loaded leaves what an earlier one has kept, and its own beside it', async () => {
  const page = await Page.atRest();
  page.beckon('purchase', { order: 'A-1' });
  await page.leave();
  const hasty = await after(page, { loading: true });
  assert.equal(stored(hasty), stored(page), 'storage waits for the page, too');
  await hasty.leave();
  assert.deepEqual(hasty.kinds.at(-1), ['page_view', 'purchase']);
  const next = await after(hasty);
  assert.deepEqual(next.kinds, [['page_view', 'page_view', 'purchase']]);
});

test('a withdrawal takes effect at once: what was kept is gone, and nothing is kept from then on', async () => {
  const page = await Page.atRest();
  page.window.sessionStorage.setItem(key, '[]'); // by a frame of the same shop
  page.beckon.consent({ decide: false, measure: false });
  assert.equal(stored(page), null);
  page.beckon('cart_add');
  await page.leave();
  assert.equal(stored(page), null);
  assert.equal(page.last.batch.c?.decide, false);
});

test('an answer to what was sent before a withdrawal does not bring the lane back', async () => {
  const page = await Page.open();
  page.beckon.consent({ decide: false });
  await page.sent[0]!.answer(204, {}, { 'Beckon-Lane': 'decide; default' });
  page.beckon('cart_add');
  await page.leave();
  assert.equal(stored(page), null);
});

test('a page that comes back takes back what it kept; a page in between has taken it', async () => {
  const page = await Page.atRest();
  page.beckon('cart_add');
  await page.leave();
  assert.notEqual(stored(page), null);
  await page.restore();
  assert.equal(stored(page), null);
  await page.clock.advance(250);
  assert.deepEqual(page.kinds.at(-1), ['cart_add', 'page_view']);
  await page.last.answer();

  page.beckon('cart_add');
  await page.leave();
  page.window.sessionStorage.removeItem(key); // the page in between
  const before = page.sent.length;
  await page.restore();
  await page.clock.advance(250);
  assert.deepEqual(page.kinds.slice(before), [['page_view']]);
});

test('a tab that is copied while its page is open copies nothing', async () => {
  const page = await Page.atRest();
  page.beckon('cart_add');
  const copy = await after(page);
  assert.deepEqual(copy.kinds, [['page_view']]);
  await page.clock.advance(250);
  assert.equal(new Set([...ids(page), ...ids(copy)]).size, 2);
});

test('what others have put there is not sent, and breaks nothing', async () => {
  for (const text of ['{', 'a,b', '']) {
    const page = await Page.open({ prepare: (window) => window.sessionStorage.setItem(key, text) });
    assert.deepEqual(page.errors, [], text);
    assert.ok(page.kinds[0]!.includes('page_view'), text);
  }
});

test('storage that throws at a glance is as good as none', async () => {
  const page = await Page.open({
    prepare: (window) =>
      Object.defineProperty(window, 'sessionStorage', {
        get: () => {
          throw new Error('SecurityError');
        },
      }),
  });
  await page.last.answer();
  page.beckon('cart_add');
  await page.leave();
  assert.deepEqual(page.kinds, [['page_view'], ['cart_add']]);
  assert.deepEqual(page.errors, []);
});

test('what a page still tells when it has been left goes out at once', async () => {
  const page = await Page.atRest();
  await page.leave();
  page.beckon('search', { query_length: 3 });
  assert.deepEqual(page.kinds, [['search']]);
  assert.equal(page.last.transport, 'beacon');
  await page.restore();
  page.beckon('cart_add');
  assert.deepEqual(page.kinds, [['search']]); // gathered as ever
});
