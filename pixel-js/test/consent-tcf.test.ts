import assert from 'node:assert/strict';
import { test } from 'node:test';
import consentTcf from '../src/parts/consent-tcf';
import { partPage, type PartPage } from './part';

type Heard = (data: object | null, ok: boolean) => void;

/** A CMP as the IAB's "CMP API v2" has it: listeners are told at once and with each change. */
class Cmp {
  #listeners: Heard[] = [];
  #data: Record<string, unknown> = {};
  readonly api = (command: string, version: number, heard: Heard): void => {
    assert.deepEqual([command, version], ['addEventListener', 2]);
    this.#listeners.push(heard);
    if (this.#data['eventStatus']) heard(this.#copy(this.#listeners.length), true);
  };
  say(eventStatus: string, purposes: number[] = [], more: object = {}): void {
    this.#data = {
      // Made on 2026-11-20; policy 5 is that of TCF 2.3 and 2.4.
      tcString: 'CQt-4cAQt-4cAAGABCENB5FsAP_gAEPgAAAALxNX',
      tcfPolicyVersion: 5,
      cmpId: 10,
      cmpVersion: 3,
      gdprApplies: true,
      cmpStatus: 'loaded',
      eventStatus,
      isServiceSpecific: true,
      purpose: {
        consents: Object.fromEntries(Array.from({ length: 11 }, (_, i) => [i + 1, purposes.includes(i + 1)])),
        legitimateInterests: { 2: true, 7: true, 8: true, 9: true, 10: true },
      },
      vendor: { consents: {}, legitimateInterests: {}, disclosedVendors: {} },
      ...more,
    };
    this.#listeners.forEach((heard, i) => heard(this.#copy(i + 1), true));
  }
  #copy(listenerId: number): object {
    return JSON.parse(JSON.stringify({ ...this.#data, listenerId })) as object;
  }
}

const all = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
const day = (page: PartPage): number | undefined => page.consents.at(-1)?.at;

function withCmp(data: DOMStringMap = {}): [PartPage, Cmp] {
  const cmp = new Cmp();
  return [partPage(data, (window) => Object.assign(window, { __tcfapi: cmp.api })), cmp];
}

test('TCF: a stored choice is told at once, with its version and the day on which it was made', () => {
  const [page, cmp] = withCmp();
  cmp.say('tcloaded', all);
  page.run(consentTcf);
  assert.equal(new Date(day(page) ?? 0).toISOString().slice(0, 10), '2026-11-20');
  assert.deepEqual(page.consents, [{ decide: true, measure: true, src: 'tcf', ver: '5/10.3', at: day(page) }]);
});

test('TCF: while the banner is up nothing is known; what is clicked is told with no other time than now', () => {
  const [page, cmp] = withCmp();
  page.run(consentTcf);
  cmp.say('cmpuishown', all);
  assert.deepEqual([page.consents, page.released()], [[], 1]);
  cmp.say('useractioncomplete', [1, 3, 4, 7, 8, 9]);
  assert.deepEqual(page.consents, [{ decide: true, measure: true, src: 'tcf', ver: '5/10.3' }]);
});

test('TCF: a withdrawal is told at once, and the same choice not again', () => {
  const [page, cmp] = withCmp();
  page.run(consentTcf);
  cmp.say('useractioncomplete', all);
  cmp.say('cmpuishown', all);
  cmp.say('useractioncomplete', all);
  cmp.say('useractioncomplete', []);
  assert.deepEqual(page.consents.map(({ decide, measure }) => [decide, measure]), [[true, true], [false, false]]);
});

test('TCF: each purpose of our list is needed, and a legitimate interest is no consent', () => {
  for (const missing of [1, 3, 4, 7, 8, 9]) {
    const [page, cmp] = withCmp();
    page.run(consentTcf);
    cmp.say('useractioncomplete', all.filter((purpose) => purpose !== missing));
    assert.deepEqual([page.consents[0]?.decide, page.consents[0]?.measure], [false, missing < 8], `without ${missing}`);
  }
});

test('TCF: where the GDPR does not apply, or the CMP fails, nobody has chosen', () => {
  const [page, cmp] = withCmp();
  page.run(consentTcf);
  cmp.say('tcloaded', all, { gdprApplies: false });
  const [other] = [partPage({}, (window) =>
    Object.assign(window, { __tcfapi: (_c: string, _v: number, heard: Heard) => heard(null, false) }))];
  other.run(consentTcf);
  assert.deepEqual([page.consents, other.consents, other.words], [[], [], []]);
  assert.deepEqual([page.released(), other.released()], [1, 1]);
});

test('TCF: the page may ask for other purposes, and an empty list is never granted', () => {
  const [page, cmp] = withCmp({ consentDecide: ' 1  5 6 ', consentMeasure: '', consentVersion: 'shop-7' });
  page.run(consentTcf);
  cmp.say('useractioncomplete', [1, 5, 6]);
  assert.deepEqual(page.consents, [{ decide: true, measure: false, src: 'tcf', ver: 'shop-7' }]);
});

test('TCF: a CMP that comes later is found, and one that never comes is not sought for ever', async () => {
  const page = partPage();
  page.run(consentTcf);
  await page.pass(3_000);
  const cmp = new Cmp();
  cmp.say('tcloaded', []);
  Object.assign(page.window, { __tcfapi: cmp.api });
  await page.pass(4_000);
  assert.equal(page.consents.length, 1);

  let looks = 0;
  const empty = partPage({}, (window) =>
    Object.defineProperty(window, '__tcfapi', { get: () => void looks++ }));
  empty.run(consentTcf);
  await empty.pass(3_600_000);
  assert.equal(looks, 10);
});

test('TCF: what a strange CMP says or throws reaches the developer, not the page', () => {
  const [page, cmp] = withCmp();
  page.run(consentTcf);
  cmp.say('useractioncomplete', all, { purpose: undefined });
  cmp.say('tcloaded', all, { tcString: '?' });
  cmp.say('tcloaded', all, { tcString: undefined, cmpId: '9'.repeat(300) });
  assert.equal(page.words.length, 1);
  assert.deepEqual(page.consents.map(({ at }) => at), [undefined, undefined]);
  assert.equal(page.consents[1]?.ver?.length, 64);
});
