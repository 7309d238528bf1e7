import assert from 'node:assert/strict';
import { test } from 'node:test';
import consentGpp from '../src/parts/consent-gpp';
import { partPage, type PartPage } from './part';

type Heard = (event: object, ok: boolean) => void;

/** A CMP as the IAB's "GPP CMP API 1.1" has it: registering is an event itself, and each event carries the state. */
class Cmp {
  #listeners: Heard[] = [];
  #ping: Record<string, unknown> = {
    gppVersion: '1.1', cmpStatus: 'loading', cmpDisplayStatus: 'hidden', signalStatus: 'not ready',
    supportedAPIs: ['2:tcfeuv2', '7:usnat', '8:usca'], cmpId: 31, sectionList: [], applicableSections: [], gppString: '', parsedSections: {},
  };
  readonly api = (command: string, heard: Heard): void => {
    assert.equal(command, 'addEventListener');
    this.#listeners.push(heard);
    heard({ eventName: 'listenerRegistered', listenerId: this.#listeners.length, data: true, pingData: { ...this.#ping } }, true);
  };
  #fire(eventName: string, data: unknown): void {
    this.#listeners.forEach((heard, i) => heard({ eventName, listenerId: i + 1, data, pingData: { ...this.#ping } }, true));
  }
  set(change: object, eventName: string, data: unknown): void {
    Object.assign(this.#ping, change);
    this.#fire(eventName, data);
  }
  /** The chain of events that the specification has for a choice. */
  ready(applicableSections: number[], parsedSections: object): void {
    this.set({ signalStatus: 'not ready' }, 'signalStatus', 'not ready');
    this.set({ cmpDisplayStatus: 'hidden', applicableSections, parsedSections }, 'sectionChange', Object.keys(parsedSections)[0]);
    this.set({ signalStatus: 'ready' }, 'signalStatus', 'ready');
  }
}

function withCmp(data: DOMStringMap = {}): [PartPage, Cmp] {
  const cmp = new Cmp();
  const page = partPage(data, (window) => Object.assign(window, { __gpp: cmp.api }));
  return [page, cmp];
}

const lanes = ({ consents }: PartPage): unknown[] => consents.map(({ decide, measure }) => [decide, measure]);

/** The core segment of usnat, version 1. */
const usnat = {
  Version: 1, SharingNotice: 1, SaleOptOutNotice: 1, SharingOptOutNotice: 1, TargetedAdvertisingOptOutNotice: 1,
  SensitiveDataProcessingOptOutNotice: 0, SensitiveDataLimitUseNotice: 0, SaleOptOut: 2, SharingOptOut: 2, TargetedAdvertisingOptOut: 2,
  SensitiveDataProcessing: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], KnownChildSensitiveDataConsents: [0, 0], PersonalDataConsents: 0,
  MspaCoveredTransaction: 2, MspaOptOutOptionMode: 0, MspaServiceProviderMode: 0,
};
const told = (change: object, gpc = false): unknown => {
  const [page, cmp] = withCmp();
  page.run(consentGpp);
  cmp.ready([7], { usnat: [{ ...usnat, ...change }, { SubsectionType: 1, Gpc: gpc }] });
  return lanes(page)[0];
};

test('GPP: who was asked and did not opt out is told at once, with the version', () => {
  const [page, cmp] = withCmp();
  cmp.ready([7], { usnat: [usnat] });
  page.run(consentGpp);
  assert.deepEqual(page.consents, [{ decide: true, measure: true, src: 'gpp', ver: '1.1/31' }]);
});

test('GPP: nothing is read before the signal is ready', () => {
  const [page, cmp] = withCmp();
  page.run(consentGpp);
  cmp.set({ applicableSections: [7], parsedSections: { usnat: [usnat] } }, 'cmpStatus', 'loaded');
  cmp.set({ cmpDisplayStatus: 'visible' }, 'cmpDisplayStatus', 'visible');
  assert.deepEqual([page.consents, page.released()], [[], 1]);
  cmp.set({ signalStatus: 'ready' }, 'signalStatus', 'ready');
  assert.deepEqual(lanes(page), [[true, true]]);
});

test('GPP: an opt-out is followed at once, as is its end, and nothing is told twice', () => {
  const [page, cmp] = withCmp();
  page.run(consentGpp);
  cmp.ready([7], { usnat: [usnat] });
  cmp.ready([7], { usnat: [{ ...usnat, SaleOptOut: 1 }] });
  cmp.ready([7], { usnat: [{ ...usnat, SaleOptOut: 1, SharingOptOut: 1 }] });
  cmp.ready([7], { usnat: [usnat] });
  assert.deepEqual(lanes(page), [[true, true], [false, false], [true, true]]);
});

test('GPP: each opt-out takes both lanes away, GPC too', () => {
  for (const field of ['SaleOptOut', 'SharingOptOut', 'TargetedAdvertisingOptOut']) {
    assert.deepEqual(told({ [field]: 1 }), [false, false], field);
  }
  assert.deepEqual(told({}, true), [false, false]);
  assert.deepEqual(told({ SaleOptOut: 0, SharingOptOut: 0, TargetedAdvertisingOptOut: 0 }, true), [false, false]);
});

test('GPP: a known child is only counted, whatever was consented to, and whatever the page asks for', () => {
  for (const known of [[0, 1], [2, 0], [0, 2], 1, 2]) {
    assert.deepEqual(told({ KnownChildSensitiveDataConsents: known }), [false, false], JSON.stringify(known));
  }
  const nobodyAsked = { SaleOptOut: 0, SharingOptOut: 0, TargetedAdvertisingOptOut: 0 };
  assert.deepEqual(told({ ...nobodyAsked, KnownChildSensitiveDataConsents: [0, 1] }), [false, false]);
  const [page, cmp] = withCmp({ consentDecide: 'SaleOptOut', consentMeasure: 'SaleOptOut' });
  page.run(consentGpp);
  cmp.ready([8], { usca: { ...usnat, KnownChildSensitiveDataConsents1: 2 } });
  assert.deepEqual(lanes(page), [[false, false]]);
});

test('GPP: nobody has chosen whom nobody has asked, nor where no section applies', () => {
  assert.equal(told({ SaleOptOut: 0, SharingOptOut: 0, TargetedAdvertisingOptOut: 0 }), undefined);
  const [page, cmp] = withCmp();
  page.run(consentGpp);
  cmp.ready([-1], { usnat: [usnat] });
  cmp.ready([7], {});
  assert.equal(page.released(), 2);
  cmp.ready([6], { uspv1: { Version: 1, Notice: 'Y', OptOutSale: 'N', LspaCovered: 'N' } });
  assert.deepEqual([page.consents, page.words], [[], []]);
});

test('GPP: an opt-out under one law is one under all, in either form of a section', () => {
  const [page, cmp] = withCmp();
  page.run(consentGpp);
  cmp.ready([8], { usca: { ...usnat, GpcSegmentType: 1, Gpc: false }, usva: { Version: 1, SaleOptOut: 1, TargetedAdvertisingOptOut: 2, KnownChildSensitiveDataConsents: 0 } });
  assert.deepEqual(lanes(page), [[false, false]]);
});

test('GPP: the page may ask for other opt-outs; an unknown word is never granted', () => {
  const [page, cmp] = withCmp({ consentDecide: 'SaleOptout', consentMeasure: 'Gpc' });
  page.run(consentGpp);
  cmp.ready([7], { usnat: [{ ...usnat, SaleOptOut: 1 }] });
  assert.deepEqual(lanes(page), [[false, true]]);
});

test('GPP: the section of the European TCF is read as TCF, by its own list', () => {
  const [page, cmp] = withCmp({ consentDecide: 'SaleOptOut' });
  page.run(consentGpp);
  const purposes = (...ids: number[]): object => ({ PurposeConsents: Array.from({ length: 24 }, (_, i) => ids.includes(i + 1)) });
  cmp.ready([2], { tcfeuv2: purposes(1, 3, 4, 7, 8, 9) });
  cmp.ready([2], { tcfeuv2: [purposes(8, 9)] });
  assert.deepEqual(lanes(page), [[true, true], [false, true]]);
});

test('GPP: what a strange CMP says reaches the developer, not the page', () => {
  const [page, cmp] = withCmp();
  page.run(consentGpp);
  cmp.ready([7], { usnat: null });
  cmp.set({ applicableSections: undefined }, 'signalStatus', 'ready');
  assert.equal(page.consents.length, 0);
  assert.equal(page.words.length, 1);
});
