import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoff } from '../src/backoff';

test('pauses double, obey Retry-After and have an end', (t) => {
  t.mock.method(Math, 'random', () => 0);
  const f = (failures: number, retryAfter: string, want: number): void =>
    assert.equal(backoff(failures, retryAfter), want, `${failures}, ${retryAfter}`);
  f(1, '0', 1_000);
  f(2, '0', 2_000);
  f(6, '0', 32_000);
  f(1, '30', 30_000);
  f(6, '5', 32_000);
  f(1, 'Wed, 21 Oct 2026 07:28:00 GMT', 1_000);
  f(1, '-5', 1_000);
  f(1, '99999999', 3_600_000);
  f(2_000, '0', 3_600_000);
});

test('chance only makes a pause longer, by less than half', () => {
  for (let i = 0; i < 100; i++) {
    const pause = backoff(1, '30');
    assert.ok(pause >= 30_000 && pause < 45_000, String(pause));
  }
});
