import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uuidv7 } from '../src/uuid';

test('an id is a UUIDv7 of its time', () => {
  const id = uuidv7(0x0198_1234_abcd);
  assert.match(id, /^01981234-abcd-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test('ids rise with time and never repeat', () => {
  const ids = Array.from({ length: 1_000 }, (_, i) => uuidv7(1_777_888_999_000 + (i >> 2)));
  assert.equal(new Set(ids).size, ids.length);
  const times = ids.map((id) => id.slice(0, 13));
  assert.deepEqual(times, [...times].sort());
});

test('each bit that is left to chance takes both values', () => {
  const fixed = uuidv7(0x0198_1234_abcd).replace(/-/g, '');
  let ones = 0n;
  let zeros = 0n;
  for (let i = 0; i < 500; i++) {
    const bits = BigInt(`0x${uuidv7(0x0198_1234_abcd).replace(/-/g, '')}`);
    ones |= bits;
    zeros |= ~bits;
  }
  const both = (ones & zeros & ((1n << 80n) - 1n)).toString(2).replace(/0/g, '').length;
  assert.equal(fixed.length, 32);
  assert.equal(both, 74);
});
