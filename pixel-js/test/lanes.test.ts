import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as lanes from '../src/lanes';

const page = readFileSync('../docs/consent.md', 'utf8');

for (const vendor of ['google', 'shopify', 'tcf', 'gpp'] as const) {
  test(`the table of ${vendor} in docs/consent.md is that of the code, with a reason for each word`, () => {
    const [, section = ''] = page.split(`\n### ${vendor}\n`);
    const rows = [...(section.split(/\n##/)[0] ?? '').matchAll(/^\| `(\w+)` \| (●?) ?\| (●?) ?\| (.*) \|$/gm)];
    const list = (column: number): string[] => rows.filter((row) => row[column]).map((row) => row[1] ?? '').sort();
    assert.ok(rows.length > 3 && rows.every((row) => (row[4] ?? '').length > 7));
    assert.deepEqual(list(2), lanes[vendor].decide.split(' ').sort());
    assert.deepEqual(list(3), lanes[vendor].measure.split(' ').sort());
  });
}

test('decide asks for all that measure does', () => {
  for (const { decide, measure } of [lanes.google, lanes.shopify, lanes.tcf, lanes.gpp]) {
    assert.deepEqual(measure.split(' ').filter((word) => !decide.split(' ').includes(word)), []);
  }
});
