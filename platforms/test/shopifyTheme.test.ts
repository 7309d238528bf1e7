import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { JSDOM } from 'jsdom';
import { theme } from './liquid';

const settings = { endpoint: 'https://px.shop.example', site: 'demo', consent: 'shopify', decide: '' };

test('the app embed prints stub, link script and tag, and nothing in the theme editor or without settings', () => {
  const page = theme({ settings });
  const scripts = [...new JSDOM(page).window.document.querySelectorAll('script')];
  assert.deepEqual(scripts.map((s) => s.src), ['', '//shop.example/cdn/beckon-link.js', 'https://px.shop.example/b.js']);
  assert.ok(scripts[0]!.text.startsWith('window.beckon=window.beckon||'));
  assert.deepEqual({ ...scripts[1]!.dataset }, { site: 'demo', endpoint: 'https://px.shop.example' });
  // Without "ack" the link script would never hear what it listens for.
  assert.deepEqual({ ...scripts[2]!.dataset }, { site: 'demo', endpoint: 'https://px.shop.example', use: 'ack', consent: 'shopify' });
  assert.ok(scripts[1]!.hasAttribute('async') && scripts[2]!.hasAttribute('async'));

  assert.ok(theme({ settings: { ...settings, decide: 'analytics' } }).includes(' data-consent-decide="analytics">'));
  assert.equal(theme({ settings: { ...settings, consent: 'own' } }).includes('data-consent'), false);
  assert.equal(theme({ settings, designMode: true }).trim(), '');
  assert.equal(theme({ settings: { ...settings, site: ' ' } }).trim(), '');
  const hostile = theme({ settings: { ...settings, site: '"><img src=x>' } });
  assert.equal(new JSDOM(hostile).window.document.querySelector('img'), null);
});

test('of the cart the page tells only whether it has a token', () => {
  const page = theme({ settings, attributes: { _beckon: 'SECRET' } });
  assert.ok(page.includes(' data-linked>'));
  assert.ok(!page.includes('SECRET'));
  assert.ok(!theme({ settings, attributes: { _beckon: '' } }).includes('data-linked'));
});

test('its settings are those that it reads', () => {
  const [, schema] = /{% schema %}([\s\S]*){% endschema %}/.exec(readFileSync('shopify/extensions/beckon-theme/blocks/beckon.liquid', 'utf8'))!;
  const { target, settings: list } = JSON.parse(schema!) as { target: string; settings: { id: string }[] };
  assert.equal(target, 'head');
  assert.deepEqual(list.map(({ id }) => id).sort(), Object.keys(settings).sort());
});

class Shop {
  readonly asked: string[] = [];
  readonly cart: unknown[] = [];
  readonly published: unknown[] = [];
  readonly later: (() => void)[] = [];
  /** What the next requests wait for, in turn; false: the network fails. */
  readonly fate: (Promise<void> | false)[] = [];
  readonly #dom: JSDOM;

  constructor({ linked = false, stored = '', blocked = false, loaded = false, nobody = false, now = Date.now() } = {}) {
    const { window } = (this.#dom = new JSDOM('<!doctype html><head></head>', { url: 'https://shop.example/', runScripts: 'outside-only' }));
    if (stored) window.sessionStorage.setItem('beckon-link-demo', stored);
    if (blocked) Object.defineProperty(window, 'sessionStorage', { get: () => { throw new Error('blocked'); } });
    const script = window.document.createElement('script');
    Object.assign(script.dataset, { site: 'demo', endpoint: 'https://px.shop.example' }, linked && { linked: '' });
    Object.defineProperty(window.document, 'currentScript', { value: script });
    window.Date.now = () => now;
    window.setTimeout = ((run: () => void) => this.later.push(run)) as never;
    Object.assign(window, {
      beckon: loaded ? { decision: () => undefined } : undefined,
      Shopify: { routes: { root: '/de/' }, analytics: { publish: (name: string, data: unknown) => this.published.push([name, data]) } },
      fetch: async (url: string, request: RequestInit) => {
        this.asked.push(url);
        if (!url.startsWith('https://px')) {
          this.cart.push(JSON.parse(String(request.body)).attributes);
          await this.#meet();
          return { ok: true };
        }
        await this.#meet();
        assert.equal(request.credentials, 'include');
        return { ok: !nobody, json: async () => ({ k: 'LINK' }) };
      },
    });
    window.eval(readFileSync('shopify/extensions/beckon-theme/assets/beckon-link.js', 'utf8'));
  }

  async #meet(): Promise<void> {
    const fate = this.fate.shift();
    if (fate === false) throw new TypeError('Failed to fetch');
    await fate;
  }

  async ack(lane: string | null): Promise<void> {
    this.#dom.window.document.dispatchEvent(new this.#dom.window.CustomEvent('beckon:ack', { detail: { lane } }));
    await this.settle();
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  get stored(): string | null {
    return this.#dom.window.sessionStorage.getItem('beckon-link-demo');
  }
}

const link = 'https://px.shop.example/link?s=demo';
const update = '/de/cart/update.js';
const kept = (age: number): string => JSON.stringify({ k: 'KEPT', at: Date.now() - age });

test('in lane decide the cart and the pixel get a token, once', async () => {
  const shop = new Shop();
  await shop.settle();
  assert.deepEqual(shop.asked, []);
  await shop.ack('decide; choice');
  await shop.ack('decide; recorded');
  assert.deepEqual(shop.asked, [link, update]);
  assert.deepEqual(shop.cart, [{ _beckon: 'LINK' }]);
  assert.deepEqual(JSON.stringify(shop.published), '[["beckon_link",{"k":"LINK"}]]');
});

test('the next page of the tab tells the pixel at once and asks nobody', async () => {
  const shop = new Shop({ stored: kept(1000), linked: true });
  await shop.ack('decide; recorded');
  assert.deepEqual(shop.asked, []);
  assert.deepEqual(JSON.stringify(shop.published), '[["beckon_link",{"k":"KEPT"}]]');
});

test('a new cart, as after an order, gets the token again; an old token is renewed', async () => {
  const fresh = new Shop({ stored: kept(1000) });
  await fresh.settle();
  assert.deepEqual([fresh.asked, fresh.cart], [[update], [{ _beckon: 'KEPT' }]]);
  const old = new Shop({ stored: kept(13 * 60 * 60 * 1000), linked: true });
  await old.ack('decide; recorded');
  assert.deepEqual([old.asked, old.cart], [[link, update], [{ _beckon: 'LINK' }]]);
});

test('in every other lane nothing is asked or stored; a withdrawal takes the token away', async () => {
  for (const lane of ['count; default', 'measure; choice', null]) {
    const shop = new Shop();
    await shop.ack(lane);
    assert.deepEqual([shop.asked, shop.published, shop.stored], [[], [], null]);
  }
  const shop = new Shop({ stored: kept(1000), linked: true });
  await shop.ack('count; denied');
  assert.deepEqual([shop.cart, shop.stored], [[{ _beckon: '' }], null]);
  assert.equal(JSON.stringify(shop.published.at(-1)), '["beckon_link",{"k":""}]');
});

test('a tag that was faster is asked after; no visitor, blocked storage and a foreign cart do no harm', async () => {
  const late = new Shop({ loaded: true });
  late.later[0]!();
  await late.settle();
  assert.deepEqual(late.asked, [link, update]);
  const inTime = new Shop({ loaded: true });
  await inTime.ack('count; default');
  inTime.later[0]!();
  await inTime.settle();
  assert.deepEqual(inTime.asked, []);
  const nobody = new Shop({ loaded: true, nobody: true });
  await nobody.settle();
  await nobody.ack('decide; choice');
  assert.deepEqual([nobody.cart, nobody.published], [[], []]);
  const blocked = new Shop({ blocked: true });
  await blocked.ack('decide; choice');
  assert.deepEqual(blocked.cart, [{ _beckon: 'LINK' }]);
});

test('a withdrawal has the last word, whatever is still on its way', async () => {
  for (const blocked of [false, true]) {
    let release!: () => void;
    const asking = new Shop({ blocked });
    asking.fate.push(new Promise((done) => (release = done)));
    await asking.ack('decide; choice');
    await asking.ack('count; choice');
    release();
    await asking.settle();
    assert.deepEqual([asking.asked, asking.published], [[link], []]);
    if (!blocked) assert.equal(asking.stored, null);

    const writing = new Shop({ blocked });
    writing.fate.push(Promise.resolve(), new Promise((done) => (release = done)));
    await writing.ack('decide; choice');
    await writing.ack('count; choice');
    assert.deepEqual(writing.cart, [{ _beckon: 'LINK' }]); // could arrive after the other
    release();
    await writing.settle();
    assert.deepEqual(writing.cart, [{ _beckon: 'LINK' }, { _beckon: '' }]);
    assert.equal(JSON.stringify(writing.published.at(-1)), '["beckon_link",{"k":""}]');
  }
});

test('what fails is tried again with the next answer, a withdrawal once by itself too', async () => {
  const joining = new Shop();
  joining.fate.push(false, Promise.resolve(), false);
  for (let i = 0; i < 4; i++) await joining.ack('decide; choice');
  assert.deepEqual(joining.asked, [link, link, update, update]);

  const leaving = new Shop({ stored: kept(1000), linked: true });
  leaving.fate.push(false, false);
  await leaving.ack('count; choice');
  for (let i = 0; i < 2; i++) {
    for (const run of leaving.later.splice(0)) run();
    await leaving.settle();
  }
  assert.deepEqual(leaving.cart, Array(2).fill({ _beckon: '' }));
  for (let i = 0; i < 2; i++) await leaving.ack('count; choice');
  assert.deepEqual(leaving.cart, Array(3).fill({ _beckon: '' }));
});
