import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { JSDOM } from 'jsdom';

/** A page of a shop whose cart events are these; `lost` loses the word that they were told. */
const page = async (events: unknown[], kept: Record<string, string>): Promise<{ told: unknown[]; kept(): Record<string, string>; ack(lane: string): void; add(): Promise<void>; lose(lost: boolean): void }> => {
  const { window } = new JSDOM('<script type="application/json" id="beckon-page">{"events":[],"ajax":"/?wc-ajax=%%endpoint%%","own":true}</script>', { url: 'https://shop.example/', runScripts: 'outside-only' });
  const told: unknown[] = [];
  let [lost, open] = [true, 0];
  Object.assign(window.sessionStorage, kept);
  Object.assign(window, {
    beckon: (_: string, props: { n: number }) => told.push(props.n),
    fetch: async (_: string, { body }: { body: URLSearchParams }) => {
      open++;
      await new Promise((answer) => setTimeout(answer, 5));
      open--;
      const done = Number(body.get('done') ?? 0);
      if (done && lost) return { ok: false };
      const left = (events as [number][]).filter(([number]) => number > done);
      if (done) events.splice(0, events.length, ...left);
      return { ok: true, json: async () => ({ events: left, nonce: 'n' }) };
    },
  });
  const quiet = async (): Promise<void> => {
    do await new Promise((again) => setTimeout(again, 10)); while (open);
  };
  window.eval(readFileSync('woocommerce/beckon/assets/shop.js', 'utf8'));
  await quiet();
  return {
    told,
    kept: () => ({ ...window.sessionStorage }) as Record<string, string>,
    ack: (lane) => void window.document.dispatchEvent(new window.CustomEvent('beckon:ack', { detail: { lane } })),
    add: async () => {
      window.document.body.dispatchEvent(new window.Event('wc-blocks_added_to_cart'));
      await quiet();
    },
    lose: (now) => void (lost = now),
  };
};

test('a cart event is told once, also when the word that it was told is lost', async () => {
  const event = (n: number): unknown[] => [n, 'cart_add', { n }];
  const events = [event(5), event(6)];
  const first = await page(events, {});
  events.push(event(7));
  await first.add();
  assert.deepEqual([first.told, first.kept()], [[5, 6, 7], {}]); // nobody has allowed to keep anything yet
  first.ack('decide; version=1');
  assert.deepEqual(first.kept(), { _bk_shop: '7' });
  const second = await page(events, first.kept());
  assert.deepEqual([second.told, events.length], [[], 3]);
  events.push(event(8));
  second.lose(false);
  await second.add();
  assert.deepEqual([second.told, events.length], [[8], 0]);
  second.ack('measure');
  assert.deepEqual(second.kept(), {}); // a choice that was taken back
});

/** What a request gets, when `held` is done; a reply that is no JSON has no `k`. Nothing means that the network fails. */
type Answer = { ok: boolean; k?: string; held?: Promise<void> } | undefined;

const hold = (): { held: Promise<void>; release(): void } => {
  let release!: () => void;
  return { held: new Promise((done) => (release = done)), release };
};

/** The page where an order is paid: nothing happens on it but its view, whose answer may come before our script. */
const payPage = (answers: Answer[], tagIsThere: boolean, posted: Answer[] = []) => {
  const { window } = new JSDOM('<script type="application/json" id="beckon-page">{"events":[],"ajax":"/?wc-ajax=%%endpoint%%","own":false,"link":{"endpoint":"/px","site":"demo","nonce":"n"}}</script>', { url: 'https://shop.example/', runScripts: 'outside-only' });
  const asked: string[] = [];
  const timers: (() => void)[] = [];
  Object.assign(window, {
    beckon: Object.assign(() => {}, tagIsThere && { decision() {} }),
    setTimeout: (run: () => void) => void timers.push(run),
    fetch: async (url: string, request: { body?: URLSearchParams }) => {
      asked.push(request.body ? `${url.split('=')[1]} ${request.body.get('k')}` : url);
      const next = request.body ? (posted.length ? posted.shift() : { ok: true }) : answers.shift();
      await next?.held;
      if (!next) throw new TypeError('Failed to fetch');
      const { ok, k } = next;
      return { ok, json: async () => (k ? { k } : JSON.parse('<html>')) };
    },
  });
  window.eval(readFileSync('woocommerce/beckon/assets/shop.js', 'utf8'));
  const settle = (): Promise<void> => new Promise((done) => setTimeout(done, 5));
  return {
    asked,
    ack: async (lane: string) => {
      window.document.dispatchEvent(new window.CustomEvent('beckon:ack', { detail: { lane } }));
      await settle();
    },
    later: async () => {
      for (const run of timers.splice(0)) run();
      await settle();
    },
  };
};

test('an answer that came before the script is made up for, one that was heard is not', async () => {
  const missed = payPage([{ ok: true, k: 'LINK' }], true);
  await missed.later();
  assert.deepEqual(missed.asked, ['/px/link?s=demo', 'beckon_link LINK']);

  const heard = payPage([{ ok: true, k: 'LINK' }], true);
  await heard.ack('decide; choice');
  await heard.later();
  assert.deepEqual(heard.asked, ['/px/link?s=demo', 'beckon_link LINK']);

  const refused = payPage([], true);
  await refused.ack('count; choice');
  await refused.later();
  assert.deepEqual(refused.asked, ['beckon_link ']);

  const early = payPage([], false); // the tag is still to come, and with it each answer
  await early.later();
  assert.deepEqual(early.asked, []);
});

test('a token that was refused is asked for again with the next answer', async () => {
  const page = payPage([{ ok: false }, { ok: true, k: 'LINK' }], true);
  await page.later();
  await page.ack('decide; choice');
  assert.deepEqual(page.asked, ['/px/link?s=demo', '/px/link?s=demo', 'beckon_link LINK']);
});

test('a withdrawal has the last word, whatever is still on its way', async () => {
  const { held, release } = hold();
  const asking = payPage([{ ok: true, k: 'LINK', held }], true);
  await asking.ack('decide; choice');
  await asking.ack('count; choice');
  release();
  await asking.ack('count; choice');
  assert.deepEqual(asking.asked, ['/px/link?s=demo', 'beckon_link ']);

  const slow = hold();
  const refused = payPage([{ ok: false, held: slow.held }], true);
  await refused.later();
  await refused.ack('count; choice');
  slow.release();
  await refused.ack('count; choice'); // was told once
  assert.deepEqual(refused.asked, ['/px/link?s=demo', 'beckon_link ']);

  const first = hold();
  const posting = payPage([{ ok: true, k: 'LINK' }], true, [{ ok: true, held: first.held }]);
  await posting.ack('decide; choice');
  await posting.ack('count; choice');
  assert.deepEqual(posting.asked, ['/px/link?s=demo', 'beckon_link LINK']); // could arrive after the other
  first.release();
  await posting.ack('count; choice');
  assert.deepEqual(posting.asked, ['/px/link?s=demo', 'beckon_link LINK', 'beckon_link ']);
});

test('what fails is tried again with the next answer, a withdrawal once by itself too', async () => {
  for (const answer of [undefined, { ok: true }]) { // no network, no JSON
    const page = payPage([answer, { ok: true, k: 'LINK' }], true);
    await page.later();
    await page.ack('decide; choice');
    assert.deepEqual(page.asked, ['/px/link?s=demo', '/px/link?s=demo', 'beckon_link LINK']);
  }
  for (const failed of [undefined, { ok: false }]) {
    const page = payPage([{ ok: true, k: 'LINK' }, { ok: true, k: 'LINK' }], true, [failed]);
    await page.ack('decide; choice');
    await page.ack('decide; choice');
    await page.ack('decide; choice');
    assert.deepEqual(page.asked.filter((it) => it.includes('LINK')), ['beckon_link LINK', 'beckon_link LINK']);

    const withdrawn = payPage([], true, [failed, failed, failed]);
    await withdrawn.ack('count; choice');
    await withdrawn.later();
    await withdrawn.later();
    assert.equal(withdrawn.asked.length, 2);
    await withdrawn.ack('count; choice');
    await withdrawn.later();
    await withdrawn.later();
    await withdrawn.ack('count; choice');
    assert.deepEqual(withdrawn.asked, Array(4).fill('beckon_link '));
  }
  const anew = payPage([undefined, { ok: true, k: 'LINK' }], true, [{ ok: false }]);
  await anew.ack('count; choice');
  await anew.ack('decide; choice'); // and fails
  await anew.later(); // is no withdrawal any more
  assert.deepEqual(anew.asked, ['beckon_link ', '/px/link?s=demo']);
});
