import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitting } from '../src/fitting';
import { maxBatchUnits } from '../src/wire';

test('as many events as fit, in order, and always one', () => {
  const event = (units: number): string => 'x'.repeat(units);
  const f = (sizes: number[], want: number): void =>
    assert.equal(fitting(sizes.map(event)).length, want, String(sizes));
  f([], 0);
  f([10, 10], 2);
  f([maxBatchUnits], 1);
  f([maxBatchUnits, 1], 1);
  f([maxBatchUnits - 1, 1], 2);
  f([maxBatchUnits + 1], 1);
  f([maxBatchUnits + 1, 1], 1);
});
