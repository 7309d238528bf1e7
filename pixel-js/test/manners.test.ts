import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Page, stub } from './page';

test('calls made before the script was there are made when it is', async () => {
  const page = await Page.open({
    html: `${stub}<script>beckon('cart_add', { product: 'mug' }); beckon('cart_view')</script>`,
  });
  assert.deepEqual(page.kinds, [['page_view', 'cart_add', 'cart_view']]);
});

test('a page that kept the stub is still heard', async () => {
  const page = await Page.atRest({ html: `${stub}<script>window.kept = beckon</script>` });
  page.window['kept']('cart_add');
  await page.clock.advance(250);
  assert.deepEqual(page.kinds, [['cart_add']]);
});

test('a second tag on the page is ignored', async () => {
  const page = await Page.open();
  const { beckon } = page;
  await page.load();
  assert.equal(page.beckon, beckon);
  assert.deepEqual(page.kinds, [['page_view']]);
});

test('the page gets one global and nothing in its storage', async () => {
  const before: string[] = [];
  const page = await Page.open({
    prepare: (window) => {
      for (const name of ['localStorage', 'sessionStorage', 'indexedDB']) {
        Object.defineProperty(window, name, {
          get: () => assert.fail(`${name} was touched`),
          configurable: true,
        });
      }
      Object.defineProperty(window.document, 'cookie', {
        get: () => assert.fail('cookie was read'),
        set: () => assert.fail('cookie was written'),
      });
      before.push(...Object.getOwnPropertyNames(window));
    },
  });
  const added = Object.getOwnPropertyNames(page.window).filter((name) => !before.includes(name));
  assert.deepEqual(added, ['beckon']);
  assert.deepEqual(page.errors, []);
  assert.equal(page.sent.length, 1);
});

test('the folder of the script is the endpoint, unless told otherwise', async () => {
  const f = async (src: string, endpoint: string, want: string): Promise<void> => {
    const page = await Page.open({ src, attributes: { 'data-endpoint': endpoint } });
    assert.equal(page.last.url, want, `${src} ${endpoint}`);
  };
  await f('/px/b.js', '-', 'https://shop.example/px/e');
  await f('https://tag.example/b.0123456789ab.js?v=a/b', '-', 'https://tag.example/e');
  await f('/b.js', '/px', 'https://shop.example/px/e');
  await f('/b.js', '/px/', 'https://shop.example/px/e');
  await f('/px/b.js', '/', 'https://shop.example/e');
  await f('/px/b.js', '', 'https://shop.example/px/e');
  await f('/b.js', 'https://px.example/in', 'https://px.example/in/e');
});

test('whatever the page hands over, nothing is thrown and the next event is sent', async () => {
  const page = await Page.atRest({ attributes: { 'data-debug': '' } });
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  const hostile = {
    get product(): string {
      throw new Error('hostile');
    },
  };
  const beckon = page.beckon as (...args: unknown[]) => void;
  beckon();
  beckon('cart_add', circle);
  beckon('cart_add', hostile);
  beckon('cart_add', 10n);
  beckon('decision', 'not a function');
  beckon('decision', () => {
    throw new Error("the shop's own");
  });
  beckon('consent', null);
  page.beckon.q.push(undefined as never);
  beckon('cart_view');
  await page.clock.advance(3_000);
  assert.deepEqual(page.errors, []);
  assert.ok(page.kinds.flat().includes('cart_view'));
  assert.ok(page.words.length >= 4);
});

for (const [name, prepare] of [
  ['fetch is missing', (window: object) => Object.assign(window, { fetch: undefined })],
  [
    'fetch throws',
    (window: object) =>
      Object.assign(window, {
        fetch: () => {
          throw new Error('blocked');
        },
      }),
  ],
] as const) {
  test(`when ${name}, the page does not notice`, async () => {
    const page = await Page.open({ prepare });
    page.beckon('cart_add');
    const decision = page.beckon.decision();
    await page.clock.advance(60_000);
    assert.equal((await decision).reason, 'ERROR');
    await page.leave();
    assert.deepEqual(page.kinds, [['page_view', 'cart_add']]);
    assert.deepEqual(page.errors, []);
  });
}

test('a listener of the page that throws does not stop the tag', async () => {
  const page = await Page.open();
  page.window.document.addEventListener('beckon:ack', () => {
    throw new Error("the shop's own");
  });
  await page.last.answer();
  page.beckon('cart_add');
  await page.clock.advance(250);
  assert.deepEqual(page.kinds, [['page_view'], ['cart_add']]);
});

test('without data-debug the console stays empty', async () => {
  const page = await Page.open();
  await page.last.fail();
  assert.deepEqual(page.words, []);
});

test('stop sends what is left and takes everything off the page', async () => {
  const installed = new Map<string, number>();
  const count = (target: object, where: string): void => {
    const { addEventListener, removeEventListener } = target as EventTarget;
    Object.assign(target, {
      addEventListener(...args: Parameters<EventTarget['addEventListener']>) {
        installed.set(`${where} ${args[0]}`, (installed.get(`${where} ${args[0]}`) ?? 0) + 1);
        return addEventListener.apply(target as EventTarget, args);
      },
      removeEventListener(...args: Parameters<EventTarget['removeEventListener']>) {
        installed.set(`${where} ${args[0]}`, (installed.get(`${where} ${args[0]}`) ?? 0) - 1);
        return removeEventListener.apply(target as EventTarget, args);
      },
    });
  };
  const page = new Page();
  page.window.document.querySelector('script'); // the DOM itself listens from its first search on
  count(page.window, 'window');
  count(page.window.document, 'document');
  const { pushState, replaceState } = page.window.history;
  await page.load();
  await page.last.answer();
  assert.deepEqual([...installed.keys()].sort(), [
    'document DOMContentLoaded',
    'document visibilitychange',
    'window pagehide',
    'window pageshow',
    'window popstate',
  ]);

  page.beckon('cart_add');
  page.beckon.stop();
  assert.deepEqual(page.kinds, [['page_view'], ['cart_add']]);
  assert.deepEqual(new Set(installed.values()), new Set([0]));
  assert.equal(page.window.history.pushState, pushState);
  assert.equal(page.window.history.replaceState, replaceState);

  page.beckon('cart_view');
  page.window.history.pushState({}, '', '/b');
  await page.clock.advance(60_000);
  await page.leave();
  assert.equal(page.sent.length, 2);
});

test('stop is final, even if an answer is still to come', async () => {
  const page = await Page.open();
  page.beckon('cart_add');
  page.beckon.stop();
  assert.deepEqual(page.sent.map(({ transport }) => transport), ['fetch', 'beacon']);
  await page.sent[0]!.answer();
  page.beckon('cart_view');
  await page.clock.advance(60_000);
  assert.equal(page.sent.length, 2);
});

test('stop leaves the history to whoever has wrapped it since', async () => {
  const page = await Page.atRest();
  const { history } = page.window;
  const ours = history.pushState;
  const theirs: typeof ours = function (this: History, ...args) {
    ours.apply(this, args);
  };
  history.pushState = theirs;
  page.beckon.stop();
  assert.equal(history.pushState, theirs);
  history.pushState({}, '', '/b');
  await page.clock.advance(60_000);
  assert.equal(page.window.location.pathname, '/b');
  assert.deepEqual(page.sent, []);
});

test('stop on a page rendered ahead of time sends nothing ever', async () => {
  const page = await Page.open({ prerendering: true });
  page.beckon('cart_add');
  page.beckon.stop();
  await page.activate();
  await page.leave();
  await page.clock.advance(60_000);
  assert.deepEqual(page.sent, []);
});
