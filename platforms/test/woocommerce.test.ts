import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { JSDOM } from 'jsdom';
import { Beckon, Shop, type Visitor } from './woo';

const beckon = new Beckon();
const shop = new Shop();
const consenting = new Shop();
const wishing = new Shop(); // its theme has wishes of its own

before(async () => {
  await beckon.start();
  await shop.start({
    options: { beckon_endpoint: `${beckon.url}/`, beckon_site: 'demo', beckon_issuer: 'https://shop.example/px' },
    constants: { BECKON_SERVER_KEY: 'secret-key' },
  });
  await wishing.start({ options: { beckon_endpoint: '/px', beckon_site: 'demo' }, constants: { BECKON_SERVER_KEY: 'secret-key', STUB_USE: 'ga4 \nack' } });
  await consenting.start({ options: { beckon_endpoint: '/px', beckon_site: '"><img src=x>' }, consent: true });
});
after(() => {
  beckon.stop();
  shop.stop();
  consenting.stop();
  wishing.stop();
  assert.equal(shop.faults + consenting.faults + wishing.faults, '');
});

const lantern = { product: '11', category: 'lamps', price: '42.0168', currency: 'EUR' };

/** Orders two lanterns and says what came of it, up to here without sending anything. */
async function orders(visitor: Visitor, k?: string): Promise<{ number: string; received: string }> {
  await visitor.call('stub_add', { product: '11', quantity: '2' });
  const { link } = await visitor.page('/checkout');
  if (k !== undefined) await visitor.call('beckon_link', { k, nonce: link!.nonce });
  const { url } = await visitor.call<{ url: string }>('stub_checkout');
  return { number: /\d+/.exec(url)![0], received: url };
}

/** Lets Action Scheduler run, and returns what was sent meanwhile. */
async function run(): Promise<typeof beckon.batches> {
  beckon.got.length = 0;
  await shop.visitor().call('stub_run');
  return beckon.batches;
}

const state = (): Promise<{ actions: { at: number; args: number[] }[]; log: string[]; options: Record<string, string>; sessions: number; coupon: unknown }> => shop.visitor().call('stub_state');

test('pages that everybody shares are the same for everybody, and make no session', async () => {
  const [one, two] = [shop.visitor(), shop.visitor()];
  await two.call('stub_add', { product: '12', quantity: '1' });
  for (const path of ['/', '/product/lantern', '/product-category/lamps', '/?s=a+lantern+for+Ada']) {
    const { text } = await one.ask(path);
    assert.equal((await two.ask(path)).text, text);
    assert.ok(!text.includes('nonce'), path);
    assert.ok(!text.includes('secret-key'), path);
  }
  assert.deepEqual(one.cookies(), []);
});

test('a page says what it is a view of, without search words', async () => {
  const visitor = shop.visitor();
  const view = async (path: string): Promise<unknown> => (await visitor.page(path)).events;
  assert.deepEqual(await view('/'), []);
  assert.deepEqual(await view('/product/lantern'), [['product_view', lantern]]);
  assert.deepEqual(await view('/product/lantern-red'), [['product_view', { ...lantern, variant: '21' }]]);
  assert.deepEqual(await view('/product-category/lamps'), [['collection_view', { category: 'lamps' }]]);
  assert.deepEqual(await view('/?s=Größe+40'), [['search', { query_length: 8 }]]);
  await visitor.call('stub_add', { product: '11', quantity: '2' });
  assert.deepEqual(await view('/cart'), [['cart_view', { cart_value: '84.0336', currency: 'EUR' }]]);
  assert.deepEqual(await view('/checkout'), [['checkout_start', { cart_value: '84.0336', currency: 'EUR' }]]);
});

test('stub, answer and tag stand in this order, escaped; a theme that is being customised has none', async () => {
  const { text } = await shop.visitor().ask('/');
  const [stub, tag] = [...new JSDOM(text).window.document.head.querySelectorAll('script')];
  assert.match(stub!.text, /^\nwindow\.beckon=window\.beckon\|\|/);
  assert.deepEqual([tag!.src, tag!.hasAttribute('async'), { ...tag!.dataset }], [`${beckon.url}/b.js`, true, { site: 'demo', endpoint: beckon.url }]);

  // The checkout's script asks for the link token when the tag has its answer, which it announces only when told to.
  const used = async (of: Shop, path: string): Promise<string | undefined> => {
    const visitor = of.visitor();
    await visitor.call('stub_add', { product: '11', quantity: '1' });
    const { head } = new JSDOM((await visitor.ask(path)).text).window.document;
    return head.querySelector<HTMLScriptElement>('script[data-site]')!.dataset['use'];
  };
  assert.deepEqual([await used(shop, '/checkout'), await used(shop, '/cart')], ['ack', undefined]);
  assert.deepEqual([await used(wishing, '/checkout'), await used(wishing, '/')], ['ga4 ack', 'ga4 \nack']);

  const hostile = new JSDOM((await consenting.visitor().ask('/')).text).window.document;
  assert.equal(hostile.querySelector('img'), null);
  const scripts = [...hostile.head.querySelectorAll('script')];
  assert.equal(scripts.length, 3);
  assert.ok(scripts[1]!.text.includes('wp_listen_for_consent_change'));
  assert.deepEqual({ ...scripts[2]!.dataset }, { site: '"><img src=x>', endpoint: '/px', consent: 'tcf', debug: '' });
  assert.ok(!(await shop.visitor().ask('/?customize_changeset_uuid=1')).text.includes('b.js'));
});

interface Waiting { readonly nonce: string; readonly events: [number, string, Record<string, unknown>][] }
const waiting = (visitor: Visitor, form: Record<string, string> = {}): Promise<Waiting> => visitor.call('beckon_events', form);

test('what is done with the cart waits for its shopper until it was told, and no more than twenty of it', async () => {
  const [visitor, other] = [shop.visitor(), shop.visitor()];
  await visitor.call('stub_add', { product: '11', quantity: '2' });
  await visitor.call('stub_add', { product: '11', quantity: '1', variation: '21' });
  await visitor.call('stub_remove', { product: '11' });
  assert.deepEqual(await waiting(other), { events: [] });
  const first = await visitor.ask('/?wc-ajax=beckon_events', {});
  assert.match(first.headers.get('cache-control')!, /no-store/);
  const { events, nonce } = JSON.parse(first.text) as Waiting;
  assert.deepEqual(events.map(([, ...call]) => call), [
    ['cart_add', { ...lantern, quantity: 2 }],
    ['cart_add', { ...lantern, variant: '21', quantity: 1 }],
    ['cart_remove', { ...lantern, quantity: 2, cart_value: '42.0168' }],
  ]);
  assert.ok(events[0]![0] < events[1]![0] && events[1]![0] < events[2]![0]);
  assert.equal((await visitor.ask('/?wc-ajax=beckon_events', {})).text, first.text); // a page that went away
  await visitor.call('stub_add', { product: '12', quantity: '1' }); // meanwhile
  const next = await waiting(visitor, { done: String(events[2]![0]), nonce });
  assert.deepEqual(next.events.map(([, kind, { product }]) => [kind, product]), [['cart_add', '12']]);
  assert.deepEqual(await waiting(visitor, { done: String(next.events[0]![0]), nonce }), { events: [] });
  await visitor.call('stub_checkout', { account: '7' }); // the session goes from the guest to a customer
  assert.deepEqual(await waiting(visitor), { events: [] });
  await run();
  for (let i = 0; i < 25; i++) await visitor.call('stub_add', { product: '12', quantity: '1' });
  const last = await waiting(visitor);
  assert.equal(last.events.length, 20);
  assert.ok(last.events[0]![0] > next.events[0]![0]);
});

test('what we ask the shop for never undoes what the shopper puts into the cart meanwhile', async () => {
  const visitor = shop.visitor();
  await visitor.call('stub_add', { product: '11', quantity: '1' });
  const { link } = await visitor.page('/checkout');
  const { events, nonce } = await waiting(visitor);
  await visitor.ask('/?wc-ajax=beckon_events&stub_meanwhile=12', { done: String(events[0]![0]), nonce });
  assert.deepEqual((await visitor.call<{ cart: number[] }>('stub_state')).cart.sort(), [11, 12]);
  await visitor.call('stub_remove', { product: '12' });
  assert.equal((await visitor.ask('/?wc-ajax=beckon_link&stub_meanwhile=12', { k: 'LINK', nonce: link!.nonce })).status, 200);
  assert.deepEqual((await visitor.call<{ cart: number[] }>('stub_state')).cart.sort(), [11, 12]);
});

test('another site cannot bring its token, nor take a shopper\'s events for told', async () => {
  const [visitor, attacker] = [shop.visitor(), shop.visitor()];
  for (const each of [visitor, attacker]) await each.call('stub_add', { product: '11', quantity: '1' });
  await visitor.page('/checkout');
  const { link } = await attacker.page('/checkout');
  const { nonce } = await waiting(attacker);
  assert.equal((await visitor.ask('/?wc-ajax=beckon_link', { k: 'ATTACKER', nonce: link!.nonce })).status, 403);
  for (const form of [{ nonce }, {}]) assert.equal((await visitor.ask('/?wc-ajax=beckon_events', { done: '9999999999999', ...form })).status, 403);
  assert.equal((await waiting(visitor)).events.length, 1);
  const own = await waiting(visitor); // nor does a number too large keep the next one back
  assert.deepEqual(await waiting(visitor, { done: '9999999999999', nonce: own.nonce }), { events: [] });
  await visitor.call('stub_add', { product: '12', quantity: '1' });
  assert.equal((await waiting(visitor)).events.length, 1);
});

test('an order is sent by the server, in the visitor\'s name, with the key and nothing that names a person', async () => {
  const visitor = shop.visitor();
  const { number, received } = await orders(visitor, 'LINK-token_1');
  const order = {
    order: number, value: '75.6302', discount: '8.4034', tax: '15.1500', shipping: '4.1200', currency: 'EUR', coupon: 'winter',
    items: [{ product: '11', quantity: 2, price: '37.8151' }],
  };
  assert.deepEqual((await visitor.page(received)).events, [['purchase', order]]);
  assert.deepEqual((await visitor.page(received)).events, []); // a page that is loaded again
  assert.deepEqual((await visitor.page(received.replace('key=', 'key=not'))).events, []);

  const [batch, ...more] = await run();
  assert.equal(more.length, 0); // "processing" and "payment complete" are one
  const { path, headers } = beckon.got[0]!;
  assert.deepEqual([path, headers.authorization, headers['content-type']], ['/px/v1/events', 'Bearer secret-key', 'application/json']);
  assert.deepEqual([batch!.v, batch!.s, batch!.k, batch!.c], [1, 'demo', 'LINK-token_1', undefined]);
  assert.deepEqual([batch!.e[0]!.n, batch!.e[0]!.p], ['purchase', order]);
  assert.match(batch!.e[0]!.i, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);

  assert.deepEqual(await run(), []);
  await visitor.call('stub_again', { order: number });
  assert.equal(beckon.got.length, 0); // it is told
  await visitor.call('stub_forget');
  await visitor.call('stub_again', { order: number });
  assert.equal(beckon.batches[0]!.e[0]!.i, batch!.e[0]!.i); // and would be known again
});

test('an order without a token says that nothing was allowed, and is told by the server alone', async () => {
  const visitor = shop.visitor();
  const { received } = await orders(visitor);
  assert.deepEqual((await visitor.page(received)).events, []);
  const [batch] = await run();
  assert.deepEqual([batch!.k, batch!.c], [undefined, { decide: false, measure: false, src: 'woocommerce' }]);
});

test('an order that waits for its money is no purchase; the server tells it when it is paid', async () => {
  const visitor = shop.visitor();
  await visitor.call('stub_add', { product: '11', quantity: '1' });
  const { link } = await visitor.page('/checkout');
  await visitor.call('beckon_link', { k: 'LINK', nonce: link!.nonce });
  const { url } = await visitor.call<{ url: string }>('stub_checkout', { bank_transfer: '1' });
  assert.deepEqual((await visitor.page(url)).events, []);
  assert.deepEqual(await run(), []);
  await shop.visitor().call('stub_pay', { order: /\d+/.exec(url)![0] });
  assert.deepEqual((await run()).map(({ k, e }) => [k, e[0]!.n]), [['LINK', 'purchase']]);
  assert.deepEqual((await visitor.page(url)).events.map(([kind]) => kind), []); // the token is gone: only the server may
});

test('an order that is paid on its own page takes the token of who pays, unless it has one', async () => {
  const visitor = shop.visitor();
  const pay = async (k: string, first?: string): Promise<string | undefined> => {
    await visitor.call('stub_add', { product: '11', quantity: '1' });
    if (first !== undefined) await visitor.call('beckon_link', { k: first, nonce: (await visitor.page('/checkout')).link!.nonce });
    const { url } = await visitor.call<{ url: string }>('stub_checkout', { bank_transfer: '1' });
    const order = /\d+/.exec(url)![0];
    const page = `/checkout/order-pay/${order}`;
    const { link, events } = await visitor.page(page);
    assert.deepEqual(events, []);
    assert.match((await visitor.ask(page)).text, /data-use="ack"/);
    await visitor.call('beckon_link', { k, nonce: link!.nonce });
    await visitor.call('stub_pay_page', { order });
    return (await run())[0]!.k;
  };
  assert.equal(await pay('LATE'), 'LATE');
  assert.equal(await pay('LATE', 'FIRST'), 'FIRST');
  assert.equal(await pay('', ''), undefined);
});

test('orders and refunds wait beside one another, and an account that is made at the checkout keeps the token', async () => {
  const numbers: string[] = [];
  for (const account of ['8', '9']) {
    const visitor = shop.visitor();
    await visitor.call('stub_add', { product: '11', quantity: '1' });
    const { link } = await visitor.page('/checkout');
    await visitor.call('beckon_link', { k: `LINK${account}`, nonce: link!.nonce });
    numbers.push(/\d+/.exec((await visitor.call<{ url: string }>('stub_checkout', { account })).url)![0]);
  }
  for (const order of numbers) await shop.visitor().call('stub_refund', { order, amount: '10.00' });
  assert.deepEqual((await run()).map(({ k, e }) => [e[0]!.n, e[0]!.p['order'], k]), [
    ['purchase', numbers[0], 'LINK8'], ['purchase', numbers[1], 'LINK9'], ['refund', numbers[0], undefined], ['refund', numbers[1], undefined],
  ]);
  await shop.visitor().ask('/?wc-ajax=stub_refund&stub_no_scheduler=1', { order: numbers[0]!, amount: '1.00' });
  assert.match((await state()).log.at(-1)!, /^refund \d+ of order \d+ is not told: Action Scheduler took nothing$/);
});

test('without a server key the browser tells the order, and no token is asked for or kept', async () => {
  const visitor = consenting.visitor();
  await visitor.call('stub_add', { product: '11', quantity: '2' });
  assert.equal((await visitor.page('/checkout')).link, undefined);
  const { url } = await visitor.call<{ url: string }>('stub_checkout');
  assert.deepEqual((await visitor.page(url)).events.map(([kind]) => kind), ['purchase']);
  assert.deepEqual((await visitor.call<{ actions: unknown[] }>('stub_state')).actions, []);
});

test('a token needs the nonce of its page, has the shape of one, and can be taken back', async () => {
  const visitor = shop.visitor();
  await visitor.call('stub_add', { product: '11', quantity: '1' });
  const { link } = await visitor.page('/checkout');
  assert.equal((await visitor.ask('/?wc-ajax=beckon_link', { k: 'LINK', nonce: 'guessed' })).status, 403);
  assert.equal((await visitor.ask('/?wc-ajax=beckon_link', { k: '<b>', nonce: link!.nonce })).status, 200); // tags are stripped: nothing is left
  assert.equal((await visitor.ask('/?wc-ajax=beckon_link', { k: 'a b', nonce: link!.nonce })).status, 400);
  await orders(visitor, 'LINK');
  await run();
  await orders(visitor, 'LINK');
  await orders(visitor, '');
  assert.deepEqual((await run()).map(({ k }) => k), ['LINK', undefined]);
});

test('a refund is told with its order and its share of the goods', async () => {
  const visitor = shop.visitor();
  const { number } = await orders(visitor, 'LINK');
  await run();
  await visitor.call('stub_refund', { order: number, amount: '45.00', lines: '[[11, 1, 37.8151]]' });
  await visitor.call('stub_refund', { order: number, amount: '10.00' });
  const batches = await run();
  assert.deepEqual(batches.map(({ k, c, e }) => [k, c, e[0]!.n, e[0]!.p]), [
    [undefined, undefined, 'refund', { order: number, value: '37.8151', currency: 'EUR' }],
    [undefined, undefined, 'refund', { order: number, value: '7.9694', currency: 'EUR' }], // of 94.90 in all, 75.63 were goods
  ]);
  assert.notEqual(batches[0]!.e[0]!.i, batches[1]!.e[0]!.i);
});

test('what was not taken is tried again, later each time and eight times at most; what is wrong is not', async () => {
  const visitor = shop.visitor();
  await orders(visitor, 'LINK');
  const began = Math.floor(Date.now() / 1000);
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    beckon.replies = [{ status: i % 2 ? 503 : 401, headers: { 'Beckon-Reason': 'spool-full' } }];
    assert.equal((await run())[0]!.k, 'LINK');
    const [next] = (await state()).actions;
    if (next) waits.push(Math.round((next.at - began) / 60));
  }
  assert.deepEqual(waits, [1, 4, 16, 64, 256, 1024, 1440]);
  const { log } = await state();
  assert.match(log.at(-2)!, /^order \d+ was not told \(401 spool-full\), trying again$/);
  assert.match(log.at(-1)!, /^order \d+ was not told \(503 spool-full\), given up$/);

  await orders(visitor, 'LINK');
  beckon.replies = [{ status: 400, headers: { 'Beckon-Reason': 'malformed' } }];
  await run();
  assert.deepEqual((await state()).actions, []);
  await orders(visitor, 'LINK');
  beckon.replies = [{ status: 200, headers: { 'Beckon-Reason': 'bad-value' }, body: '{"accepted":0}' }];
  await run();
  assert.match((await state()).log.at(-1)!, /^order \d+ was not taken: bad-value$/);
});

test('the page of keys is renewed; one that is none leaves the old one', async () => {
  assert.equal((await state()).coupon, false);
  beckon.replies = [{ status: 200, body: '{"keys":[]}' }, { status: 500 }, { status: 200, body: '<html>' }];
  for (let i = 0; i < 3; i++) await shop.visitor().call('stub_cron');
  assert.deepEqual(beckon.got.slice(-3).map(({ path }) => path), Array<string>(3).fill('/px/.well-known/jwks.json'));
  assert.equal((await state()).options['beckon_jwks'], '{"keys":[]}');
});

test('an offer becomes a coupon of its shopper, is used up with one order, and the order names its decision', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const { x } = publicKey.export({ format: 'jwk' });
  beckon.replies = [{ status: 200, body: JSON.stringify({ keys: [{ kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', use: 'sig', kid: 'k1', x }] }) }];
  await shop.visitor().call('stub_cron');
  const now = Math.floor(Date.now() / 1000);
  const part = (json: unknown): string => Buffer.from(JSON.stringify(json)).toString('base64url');
  const signed = [
    { alg: 'EdDSA', kid: 'k1', typ: 'JWT' },
    { iss: 'https://shop.example/px', aud: 'demo', sub: '4be3cc6a8d1c4ef09c1f1ab1e2d3c4b5', jti: 'one', offer: 'welcome-back', kind: 'percent', percent: 10, iat: now, exp: now + 1800 },
  ].map(part).join('.');
  const token = `${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`;

  const [visitor, friend] = [shop.visitor(), shop.visitor()];
  for (const each of [visitor, friend]) {
    await each.call('stub_add', { product: '11', quantity: '1' });
    await each.ask(`/?beckon_offer=${token}`);
    const { link } = await each.page('/checkout');
    await each.call('beckon_link', { k: 'LINK', nonce: link!.nonce });
  }
  const { url } = await visitor.call<{ url: string }>('stub_checkout');
  const [[, props]] = (await visitor.page(url)).events as [[string, Record<string, unknown>]];
  assert.deepEqual([props['decision'], props['coupon']], ['4be3cc6a8d1c4ef09c1f1ab1e2d3c4b5', 'winter']); // not the coupon that all offers share
  assert.equal((await run())[0]!.e[0]!.p['decision'], '4be3cc6a8d1c4ef09c1f1ab1e2d3c4b5');
  const refused = await friend.ask('/?wc-ajax=stub_checkout', {});
  assert.deepEqual([refused.status, /\((\w+)\)/.exec(refused.text)![1]], [409, 'used']);
});

test('the settings page never prints the key, and a constant cannot be edited', async () => {
  const { text } = await shop.visitor().ask('/?wc-ajax=stub_settings');
  assert.ok(!text.includes('secret-key'));
  const key = new JSDOM(text).window.document.querySelector<HTMLInputElement>('[name=beckon_server_key]')!;
  assert.deepEqual([key.type, key.value, key.disabled], ['password', '', true]);
});

test('who sees the settings page may save it; an empty field keeps the key, and a box removes it', async () => {
  const visitor = consenting.visitor();
  const form = { beckon_endpoint: '/px', beckon_site: 'demo', beckon_issuer: '' };
  const save = async (more: Record<string, string>): Promise<unknown> => {
    assert.equal((await visitor.ask('/?wc-ajax=stub_save', { ...form, ...more })).status, 200);
    return (await visitor.call<{ options: Record<string, string> }>('stub_state')).options['beckon_server_key'];
  };
  const box = async (): Promise<unknown> => new JSDOM((await visitor.ask('/?wc-ajax=stub_settings')).text).window.document.querySelector('[name=beckon_remove_key]');
  assert.equal(await box(), null); // nothing to remove
  assert.equal(await save({ beckon_server_key: 'a-key' }), 'a-key');
  assert.equal(await save({ beckon_server_key: '' }), 'a-key');
  assert.ok(await box());
  assert.equal(await save({ beckon_server_key: '', beckon_remove_key: '1' }), '');
  assert.equal(await save({ beckon_server_key: 'b-key', beckon_remove_key: '1' }), 'b-key');
});

const consent = (cookie: string, more: Record<string, unknown> = {}): { calls: unknown[]; change(cookie: string): Promise<void> } => {
  const { window } = new JSDOM('', { url: 'https://shop.example/', runScripts: 'outside-only' });
  const calls: unknown[] = [];
  Object.assign(window, { beckon: (...call: unknown[]) => calls.push(call[1]) }, more);
  for (const one of cookie.split(' ')) window.document.cookie = one;
  window.eval(readFileSync('woocommerce/beckon/assets/consent.js', 'utf8'));
  return {
    calls,
    async change(changed) {
      for (const one of changed.split(' ')) {
        window.document.cookie = one;
        window.document.dispatchEvent(new window.CustomEvent('wp_listen_for_consent_change', { detail: {} }));
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    },
  };
};

test('answers of the WP Consent API are told, one for all categories; no answer is no choice', async () => {
  const said = (decide: boolean, measure: boolean): unknown[] => [{ decide, measure, src: 'wp-consent-api' }];
  const plain = (calls: unknown[]): unknown => JSON.parse(JSON.stringify(calls));
  const nobody = consent('other=1');
  assert.deepEqual(nobody.calls, []);
  await nobody.change('wp_consent_statistics=allow wp_consent_marketing=allow');
  assert.deepEqual(plain(nobody.calls), said(true, true));
  await nobody.change('wp_consent_marketing=deny wp_consent_statistics=deny');
  assert.deepEqual(plain(nobody.calls.slice(1)), said(false, false));
  assert.deepEqual(plain(consent('wp_consent_statistics=deny wp_consent_statistics-anonymous=allow').calls), said(false, true));
  assert.deepEqual(plain(consent('wp_consent_marketing=allow').calls), said(false, false)); // not what reports need
  assert.deepEqual(plain(consent('rsp_marketing=allow rsp_statistics=allow', { consent_api: { cookie_prefix: 'rsp' } }).calls), said(true, true));
});
