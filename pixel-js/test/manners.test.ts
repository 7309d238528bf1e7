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

/** Notes who touches these. A fault instead would not do: the tag lets none out. */
function trap(touched: string[], of: object, names: readonly string[], prefix = ''): void {
  for (const name of names) {
    const note = (): undefined => void touched.push(prefix + name);
    Object.defineProperty(of, name, { configurable: true, get: note, set: note });
  }
}

test('the page gets one global and nothing in its storage', async () => {
  const before: string[] = [];
  const touched: string[] = [];
  const page = await Page.open({
    prepare: (window) => {
      trap(touched, window, ['localStorage', 'indexedDB', 'caches', 'cookieStore']);
      trap(touched, window.document, ['cookie']);
      before.push(...Object.getOwnPropertyNames(window));
    },
  });
  const added = Object.getOwnPropertyNames(page.window).filter((name) => !before.includes(name));
  assert.deepEqual(added, ['beckon']);
  assert.deepEqual([page.errors, touched], [[], []]);
  assert.equal(page.sent.length, 1);
  assert.equal(page.window.sessionStorage.length, 0);
});

test('nothing that tells browsers apart is looked at', async () => {
  const touched: string[] = [];
  const page = await Page.open({
    prepare: (window) => {
      trap(touched, window.HTMLCanvasElement.prototype, ['getContext', 'toDataURL', 'toBlob'], 'canvas.');
      trap(touched, window.document, ['fonts']);
      trap(touched, window, ['OffscreenCanvas', 'FontFace', 'queryLocalFonts', 'AudioContext', 'OfflineAudioContext', 'RTCPeerConnection', 'screen', 'devicePixelRatio']);
      const { navigator } = window;
      trap(touched, navigator, ['plugins', 'mimeTypes', 'hardwareConcurrency', 'deviceMemory', 'maxTouchPoints', 'platform', 'oscpu', 'languages', 'connection', 'getBattery', 'mediaDevices', 'gpu', 'keyboard'], 'navigator.');
      const hints = {};
      trap(touched, hints, ['getHighEntropyValues', 'brands', 'platform', 'mobile'], 'userAgentData.');
      Object.defineProperty(navigator, 'userAgentData', { configurable: true, value: hints });
    },
  });
  await page.last.answer();
  page.beckon('cart_add', { product: 'mug' });
  page.beckon('consent', { measure: true, decide: true });
  void page.beckon.decision();
  await page.clock.advance(3_000);
  await page.leave();
  await page.restore();
  assert.ok(page.sent.length > 2);
  assert.deepEqual(touched, []);
});

test('the folder of the script is the endpoint, unless told otherwise', async () => {
  const f = async (src: string, endpoint: string, want: string): Promise<void> => {
    const page = await Page.open({ src, attributes: { 'data-endpoint': endpoint } });
    assert.equal(page.last.url, want, `${src} ${endpoint}`);
  };
  await f('/px/b.js', '-', 'https://shop.example/px/e');
  await f('https://tag.example/b.0123456789ab.js?v=1', '-', 'https://tag.example/e');
  await f('/b.js', '/px', 'https://shop.example/px/e');
  await f('/px/b.js', '', 'https://shop.example/e');
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
  let heard = 0;
  page.window.document.addEventListener('beckon:decision', () => {
    heard++;
    throw new Error("the shop's own");
  });
  const decision = page.beckon.decision();
  await page.last.answer();
  await page.clock.advance(50);
  await page.last.answer(200, { site: 'demo', eligible: false, offer: null, reason: 'NO_OFFER' });
  assert.deepEqual([(await decision).reason, heard], ['NO_OFFER', 1]);
  page.beckon('cart_view');
  await page.clock.advance(250);
  assert.deepEqual(page.kinds, [['page_view'], ['cart_view']]);
});

test('without data-debug the console stays empty', async () => {
  const page = await Page.open();
  await page.last.fail();
  assert.deepEqual(page.words, []);
});
