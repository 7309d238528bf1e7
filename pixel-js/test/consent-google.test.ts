import assert from 'node:assert/strict';
import { test } from 'node:test';
import consentGoogle from '../src/parts/consent-google';
import { partPage, type PartPage } from './part';

type Gtag = (...words: unknown[]) => void;

const asked = ['ad_storage', 'ad_user_data', 'ad_personalization', 'analytics_storage'];
const every = (value: string): object => Object.fromEntries(asked.map((word) => [word, value]));

/** The snippet that Google has pages put into their head; `gtag` pushes its arguments object, not an array. */
function withGtag(data: DOMStringMap = {}): [PartPage, Gtag, unknown[]] {
  const layer: unknown[] = [];
  const page = partPage(data, (window) => Object.assign(window, { [data['layer'] ?? 'dataLayer']: layer }));
  function gtag(): void {
    layer.push(arguments);
  }
  return [page, gtag, layer];
}

const lanes = ({ consents }: PartPage): unknown[] => consents.map(({ decide, measure }) => [decide, measure]);

test('Google: what was granted before the tag came is told, once', () => {
  const [page, gtag] = withGtag();
  gtag('js', new Date());
  gtag('consent', 'default', { ...every('denied'), wait_for_update: 500 });
  gtag('consent', 'update', every('granted'));
  page.run(consentGoogle);
  gtag('consent', 'update', every('granted'));
  assert.deepEqual(page.consents, [{ decide: true, measure: true, src: 'google', ver: '' }]);
});

test('Google: a default alone is the word of the shop, not of the visitor', () => {
  const [page, gtag] = withGtag();
  page.run(consentGoogle);
  gtag('consent', 'default', every('granted'));
  gtag('consent', 'default', { ...every('denied'), region: ['DE'] });
  assert.deepEqual(page.consents, []);
});

test('Google: the page view waits as long for an update as the shop says', async () => {
  const [page, gtag] = withGtag();
  page.run(consentGoogle);
  gtag('consent', 'default', { ...every('denied'), wait_for_update: 500 });
  await page.pass(499);
  assert.equal(page.released(), 0);
  await page.pass(1);
  assert.deepEqual([page.consents, page.released()], [[], 1]);
});

test('Google: an update is followed, a withdrawal too, and later defaults change nothing', () => {
  const [page, gtag] = withGtag();
  page.run(consentGoogle);
  gtag('consent', 'default', every('denied'));
  gtag('consent', 'update', { analytics_storage: 'granted' });
  gtag('consent', 'update', { ad_storage: 'granted', ad_personalization: 'granted' });
  gtag('consent', 'default', every('denied'));
  gtag('consent', 'update', {});
  gtag('consent', 'update', every('denied'));
  assert.deepEqual(lanes(page), [[false, true], [true, true], [false, false]]);
});

test('Google: what an update leaves out is as the defaults say, at their strictest', () => {
  const rest = { ad_storage: 'granted', ad_personalization: 'granted' };
  const told = (...defaults: object[]): unknown => {
    const [page, gtag] = withGtag();
    page.run(consentGoogle);
    for (const words of defaults) gtag('consent', 'default', words);
    gtag('consent', 'update', rest);
    return lanes(page)[0];
  };
  const granted = { analytics_storage: 'granted' };
  const denied = { analytics_storage: 'denied' };
  assert.deepEqual(told(), [false, false]);
  assert.deepEqual(told(granted), [true, true]);
  assert.deepEqual(told({ ...granted, region: ['US'] }), [false, false]);
  assert.deepEqual(told({ ...denied, region: ['DE'] }, granted), [false, false]);
  assert.deepEqual(told(granted, { ...denied, region: ['DE'] }), [false, false]);
});

test('Google: a data layer of another name, and one that comes later, are found', async () => {
  const [page, gtag] = withGtag({ layer: 'shopLayer', consentDecide: 'personalization_storage' });
  page.run(consentGoogle);
  gtag('consent', 'update', { personalization_storage: 'granted' });
  assert.deepEqual(lanes(page), [[true, false]]);

  const late = partPage();
  late.run(consentGoogle);
  Object.assign(late.window, { dataLayer: [['consent', 'update', every('granted')]] });
  await late.pass(25_000);
  assert.deepEqual(lanes(late), [[true, true]]);
  assert.equal('dataLayer' in partPage().window, false);
});

test('Google: Tag Manager and the page get from push what they always did', () => {
  const [page, gtag, layer] = withGtag();
  const heard: unknown[] = [];
  // Tag Manager before us, and another that comes after us: each calls the push that it found.
  const wrap = (name: string): void => {
    const push = layer.push;
    layer.push = (...entries) => {
      heard.push(name);
      return push.apply(layer, entries) + 1000;
    };
  };
  wrap('before');
  page.run(consentGoogle);
  wrap('after');
  gtag('consent', 'update', every('granted'));
  assert.equal(layer.push({ event: 'x' }, null, 'text', 7, { get 0() { throw new Error('hostile'); } }), 2006);
  assert.deepEqual(heard, ['after', 'before', 'after', 'before']);
  assert.deepEqual(lanes(page), [[true, true]]);
  assert.equal(page.words.length, 1);
});

test('Google: what is no command of consent is passed over', () => {
  const [page, gtag] = withGtag();
  page.run(consentGoogle);
  for (const words of [['consent'], ['consent', 'update'], ['consent', 'update', 'all'], ['consent', 'updated', every('granted')], ['set', 'update', {}]]) {
    gtag(...words);
  }
  assert.deepEqual([page.consents, page.words], [[], []]);
});
