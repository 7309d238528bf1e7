import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Page } from './page';

const shop = 'https://shop.example';

test('the first page view is sent at once, with the referrer', async () => {
  const page = await Page.open({ url: `${shop}/a?utm_source=mail`, referrer: 'https://search.example/' });
  assert.deepEqual(page.kinds, [['page_view']]);
  assert.equal(page.last.at, page.clock.now);
  const [event] = page.last.batch.e;
  assert.equal(event?.u, `${shop}/a?utm_source=mail`);
  assert.equal(event?.r, 'https://search.example/');
});

test('an address never carries its fragment, nor more than the collector takes', async () => {
  const page = await Page.open({ url: `${shop}/${'x'.repeat(600)}#access_token=secret` });
  assert.equal(page.last.batch.e[0]?.u.length, 512);
  assert.ok(!(await Page.open({ url: `${shop}/#secret` })).last.body.includes('secret'));
});

test('history navigation is a view only when path or query changed', async () => {
  const page = await Page.atRest({ url: `${shop}/a` });
  const { history } = page.window;
  const views = async (act: () => void): Promise<number> => {
    const before = page.kinds.flat().length;
    act();
    await page.clock.advance(300);
    if (page.sent.length) await page.last.answer();
    return page.kinds.flat().length - before;
  };
  assert.equal(await views(() => history.pushState({}, '', '/b')), 1);
  assert.equal(await views(() => history.pushState({ open: true }, '', '/b')), 0);
  assert.equal(await views(() => history.replaceState({}, '', '/b#part')), 0);
  assert.equal(await views(() => history.replaceState({}, '', '/b?size=2')), 1);
  assert.equal(await views(() => history.replaceState({ key: 1 }, '')), 0);
  assert.deepEqual(
    page.sent.map(({ batch }) => batch.e[0]),
    [
      { ...page.sent[0]!.batch.e[0], n: 'page_view', u: `${shop}/b` },
      { ...page.sent[1]!.batch.e[0], n: 'page_view', u: `${shop}/b?size=2` },
    ],
  );
});

test('going back is a view of the page that is there then', async () => {
  const page = await Page.atRest({ url: `${shop}/a` });
  page.window.history.pushState({}, '', '/b');
  page.window.history.back();
  await page.clock.advance(250);
  assert.deepEqual(page.last.batch.e.map(({ u }) => u), [`${shop}/b`, `${shop}/a`]);
});

test('the state that a router sets is the state that it reads', async () => {
  const page = await Page.atRest();
  page.window.history.pushState({ scroll: 7 }, '', '/b');
  assert.deepEqual(page.window.history.state, { scroll: 7 });
});

test('a page that comes back from the back/forward cache is a new view', async () => {
  const page = await Page.atRest();
  await page.leave();
  assert.deepEqual(page.kinds, []);
  await page.restore();
  await page.clock.advance(250);
  assert.deepEqual(page.kinds, [['page_view']]);
  assert.equal(page.last.batch.e[0]?.r, undefined);
});

test('a page rendered ahead of time says nothing until a person sees it', async () => {
  const page = await Page.open({ prerendering: true });
  page.beckon('product_view', { product: 'mug' });
  await page.clock.advance(60_000);
  await page.hide();
  assert.deepEqual(page.kinds, []);
  await page.show();
  await page.activate();
  assert.deepEqual(page.kinds, [['product_view', 'page_view']]);
});

test('nothing is asked for before the page has loaded, for five seconds at most; who leaves before that is heard', async () => {
  const page = await Page.open({ loading: true });
  await page.clock.advance(4_000);
  assert.deepEqual([page.sent.length, page.imported.length], [0, 1], 'its own part, for a browser without the Navigation API');
  await page.loaded();
  assert.deepEqual(page.kinds, [['page_view']]);

  const slow = await Page.open({ loading: true });
  await slow.clock.advance(5_000);
  assert.deepEqual(slow.kinds, [['page_view']]);

  const left = await Page.open({ loading: true });
  await left.leave();
  assert.deepEqual([left.kinds, left.last.transport], [[['page_view']], 'beacon']);
});

test('a page rendered ahead of time that nobody sees says nothing to the end', async () => {
  const page = await Page.open({ prerendering: true });
  page.beckon('product_view', { product: 'mug' });
  await page.leave();
  assert.deepEqual(page.kinds, []);
});

test('with the Navigation API history is left alone, and the entries are looked at', async () => {
  const navigation = new EventTarget();
  const page = await Page.atRest({ url: `${shop}/a`, prepare: (window) => Object.assign(window, { navigation }) });
  const { history } = page.window;
  assert.ok(!Object.hasOwn(history, 'pushState'));
  for (const url of ['/b', '/b', '/b#part', '/c']) {
    history.pushState({}, '', url);
    navigation.dispatchEvent(new Event('currententrychange'));
  }
  await page.clock.advance(250);
  assert.deepEqual(page.last.batch.e.map(({ u }) => u), [`${shop}/b`, `${shop}/c`]);
});

test('a page whose history is wrapped by others is looked at, and theirs is called as before', async () => {
  const page = await Page.atRest({ url: `${shop}/a` });
  const { history } = page.window;
  const ours = history.pushState;
  history.pushState = function (...args) {
    ours.apply(this, args);
  };
  history.pushState({ theirs: 1 }, '', '/b');
  assert.deepEqual(history.state, { theirs: 1 });
  await page.clock.advance(250);
  assert.deepEqual(page.last.batch.e.map(({ u }) => u), [`${shop}/b`]);
});

test('with data-hash the path behind /# is the path, and each one is a view', async () => {
  const page = await Page.atRest({ url: `${shop}/?utm_source=mail#top`, attributes: { 'data-hash': '/#/' } });
  const at = async (url: string): Promise<string> => {
    page.window.history.pushState({}, '', url);
    await page.clock.advance(250);
    const { u } = page.last.batch.e[0]!;
    await page.last.answer();
    return u;
  };
  assert.equal(await at('/#/product/1'), `${shop}/product/1`);
  assert.equal(await at('/#/product/2?size=l'), `${shop}/product/2?size=l`);
  assert.equal(await at('/app/#/'), `${shop}/app/`);
  const requests = page.sent.length;
  page.window.history.pushState({}, '', '/app/#token=secret'); // no path: nobody else's business, and no page
  await page.clock.advance(250);
  assert.equal(page.sent.length, requests);
});
