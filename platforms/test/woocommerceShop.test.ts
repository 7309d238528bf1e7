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
