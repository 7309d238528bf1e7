import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { Page } from './page';

/** The ids of `n` events of one page, whose blobs have addresses like a browser's. */
async function idsOf(n: number, now: number): Promise<string[]> {
  const page = await Page.open({
    prepare: (window) => {
      window.URL.createObjectURL = () => `blob:https://shop.example/${randomUUID()}`;
      window.Date.now = () => Math.floor(now++ / 4); // four in a millisecond
    },
  });
  const ids: string[] = [];
  while (ids.length < n) {
    for (let i = 0; i < 20; i++) page.beckon('cart_view');
    await page.last.answer();
    await page.clock.advance(250);
    ids.push(...page.last.batch.e.map(({ i }) => i));
  }
  return ids;
}

test('an id is a UUIDv7 of its time', async () => {
  const [id] = await idsOf(1, 0x0198_1234_abcd * 4);
  assert.match(id!, /^01981234-ab[c-f][0-9a-f]-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test('ids rise with time and never repeat, and each bit that is left to chance takes both values', async () => {
  const ids = await idsOf(500, 1_777_888_999_000 * 4);
  assert.equal(new Set(ids).size, ids.length);
  const times = ids.map((id) => id.slice(0, 13));
  assert.deepEqual(times, [...times].sort());
  let ones = 0n;
  let zeros = 0n;
  for (const id of ids) {
    const bits = BigInt(`0x${id.replace(/-/g, '')}`);
    ones |= bits;
    zeros |= ~bits;
  }
  const both = (ones & zeros & ((1n << 80n) - 1n)).toString(2).replace(/0/g, '').length;
  assert.equal(both, 74);
});
