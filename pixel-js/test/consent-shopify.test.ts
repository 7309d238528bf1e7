import assert from 'node:assert/strict';
import { test } from 'node:test';
import consentShopify from '../src/parts/consent-shopify';
import { partPage, type PartPage } from './part';

type Answers = Partial<Record<'marketing' | 'analytics' | 'preferences' | 'sale_of_data', 'yes' | 'no' | ''>>;

/**
 * `window.Shopify` as a theme has it: the API is there after `loadFeatures` has called back, its questions
 * are answered for everybody by region and settings, `currentVisitorConsent` tells only what was answered.
 */
class Shop {
  features: unknown;
  loaded: (error?: unknown) => void = () => {};
  customerPrivacy: object | undefined;
  #answers: Answers = { marketing: '', analytics: '', preferences: '', sale_of_data: '' };
  constructor(readonly consentRequired: boolean) {}

  loadFeatures = (features: unknown, done: (error?: unknown) => void): void => {
    this.features = features;
    this.loaded = (error) => {
      if (!error) this.#load();
      done(error);
    };
  };
  #load(): void {
    const allowed = (name: keyof Answers) => (): boolean =>
      this.#answers[name] === '' ? !this.consentRequired || name === 'sale_of_data' : this.#answers[name] === 'yes';
    this.customerPrivacy = {
      currentVisitorConsent: () => ({ ...this.#answers }),
      analyticsProcessingAllowed: allowed('analytics'),
      marketingAllowed: allowed('marketing'),
      preferencesProcessingAllowed: allowed('preferences'),
      saleOfDataAllowed: allowed('sale_of_data'),
    };
  }
  answer({ window }: PartPage, answers: Answers): void {
    Object.assign(this.#answers, answers);
    window.document.dispatchEvent(new window.CustomEvent('visitorConsentCollected', { detail: {
      marketingAllowed: answers.marketing === 'yes',
      analyticsAllowed: answers.analytics === 'yes',
      preferencesAllowed: answers.preferences === 'yes',
      saleOfDataAllowed: answers.sale_of_data !== 'no',
    } }));
  }
}

function withShop(consentRequired = true, data: DOMStringMap = {}): [PartPage, Shop] {
  const shop = new Shop(consentRequired);
  const page = partPage(data, (window) => Object.assign(window, { Shopify: shop }));
  page.run(consentShopify);
  return [page, shop];
}

const lanes = ({ consents }: PartPage): unknown[] => consents.map(({ decide, measure }) => [decide, measure]);
const all: Answers = { marketing: 'yes', analytics: 'yes', preferences: 'yes', sale_of_data: 'yes' };

test('Shopify: an answer of an earlier page is told as soon as the API has loaded', () => {
  const [page, shop] = withShop();
  shop.answer(page, all);
  assert.deepEqual([shop.features, page.consents], [[{ name: 'consent-tracking-api', version: '0.1' }], []]);
  shop.loaded();
  assert.deepEqual(page.consents, [{ decide: true, measure: true, src: 'shopify', ver: '0.1' }]);
});

test('Shopify: nobody has chosen whom nobody has asked, whatever the region allows', () => {
  for (const required of [true, false]) {
    const [page, shop] = withShop(required);
    shop.loaded();
    assert.deepEqual([page.consents, page.released()], [[], 1]);
  }
});

test('Shopify: the banner is followed, a withdrawal too', () => {
  const [page, shop] = withShop();
  shop.loaded();
  shop.answer(page, { analytics: 'yes', marketing: 'no', preferences: 'yes' });
  shop.answer(page, { marketing: 'yes' });
  shop.answer(page, { marketing: 'yes' });
  shop.answer(page, { marketing: 'no', analytics: 'no', preferences: 'no' });
  assert.deepEqual(lanes(page), [[false, true], [true, true], [false, false]]);
});

test('Shopify: who opts out of the sale of data is measured, where that is allowed, and gets no personal offer', () => {
  const [page, shop] = withShop(false);
  shop.loaded();
  shop.answer(page, { sale_of_data: 'no' });
  assert.deepEqual(lanes(page), [[false, true]]);
});

test('Shopify: the page may ask for other words; an unknown one is never granted', () => {
  const [page, shop] = withShop(true, { consentDecide: 'preferences', consentMeasure: 'analytic' });
  shop.loaded();
  shop.answer(page, all);
  assert.deepEqual(lanes(page), [[true, false]]);
});

test('Shopify: an API that does not load, throws or is not there leaves the page in peace', async () => {
  const [page, shop] = withShop();
  shop.loaded('network');
  assert.equal(page.released(), 1);
  shop.answer(page, all);
  assert.deepEqual([page.consents, page.words], [[], [['network']]]);
  const none = partPage();
  none.run(consentShopify);
  await none.pass(60_000);
  const [broken, other] = withShop();
  other.loaded();
  other.customerPrivacy = { currentVisitorConsent: () => { throw new Error('broken'); } };
  other.answer(broken, all);
  assert.deepEqual([none.consents, none.words, broken.consents, broken.words.length], [[], [], [], 1]);
});
