import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ga4 as ga4Names, shopify } from '../src/names';
import ga4 from '../src/parts/ga4';
import { partPage, type PartPage } from './part';

/** As in Google's reference of recommended events, with what it also has and we do not read. */
const mug = { item_id: 'mug-blue', item_name: 'Blue mug', affiliation: 'Shop', coupon: 'SUMMER', discount: 2.22, index: 0,
  item_brand: 'Harbour', item_category: 'mugs', item_category2: 'Adult', item_variant: 'large', location_id: 'L1', price: 12.5, quantity: 2 };
const pot = { item_id: 4711, item_name: 'Teapot', price: '33.22', quantity: 1 };
const product = { product: 'mug-blue', variant: 'large', category: 'mugs', price: 12.5, quantity: 2 };

function withLayer(...layer: unknown[]): [PartPage, unknown[]] {
  return [partPage({}, (window) => Object.assign(window, { dataLayer: layer })), layer];
}

function gtag(..._words: unknown[]): unknown {
  return arguments;
}

const cases: [name: string, params: object, want: unknown][] = [
  ['view_item', { currency: 'EUR', value: 25, items: [mug] }, [['product_view', { ...product, currency: 'EUR' }]]],
  ['view_item_list', { item_list_id: 'l1', item_list_name: 'Mugs', items: [mug, pot] }, [['collection_view', { category: 'Mugs' }]]],
  ['view_item_list', { items: [mug] }, [['collection_view', { category: 'mugs' }]]],
  ['search', { search_term: 'blue mug jane' }, [['search', { query_length: 13 }]]],
  ['view_cart', { currency: 'EUR', value: 58.22, items: [mug, pot] }, [['cart_view', { cart_value: 58.22, currency: 'EUR' }]]],
  ['add_to_cart', { currency: 'EUR', value: 58.22, items: [mug, pot] },
    [['cart_add', { ...product, currency: 'EUR' }], ['cart_add', { product: '4711', price: 33.22, quantity: 1, currency: 'EUR' }]]],
  ['remove_from_cart', { currency: 'EUR', value: 25, items: [mug] }, [['cart_remove', { ...product, currency: 'EUR' }]]],
  ['begin_checkout', { currency: 'EUR', value: '58.22', coupon: 'SUMMER', items: [mug] }, [['checkout_start', { cart_value: 58.22, currency: 'EUR' }]]],
  ['purchase', { transaction_id: 'A-1001', value: 58.22, tax: 9.31, shipping: 0, currency: 'EUR', coupon: 'SUMMER', customer_type: 'new', items: [mug, pot], user_data: { email: 'jane@example.com' } },
    [['purchase', { order: 'A-1001', value: 58.22, tax: 9.31, shipping: 0, currency: 'EUR', coupon: 'SUMMER',
      items: [{ product: 'mug-blue', variant: 'large', price: 12.5, quantity: 2 }, { product: '4711', price: 33.22, quantity: 1 }] }]]],
  ['view_item', { currency: 'EUR' }, []],
  ['page_view', { page_title: 'Mugs' }, []],
  ['view_promotion', { promotion_id: 'p', items: [mug] }, []],
  ['toString', {}, []],
];

test('GA4: each event is told in our words, by gtag and in the form for Tag Manager', () => {
  for (const [name, params, want] of cases) {
    const [page, layer] = withLayer();
    page.run(ga4);
    layer.push(gtag('event', name, { ...params, send_to: 'G-1' }));
    assert.deepEqual(page.told, want, `gtag ${name}`);
    const [other, otherLayer] = withLayer();
    other.run(ga4);
    otherLayer.push({ ecommerce: null });
    otherLayer.push({ event: name, ...(name === 'search' ? params : { ecommerce: params }) });
    assert.deepEqual(other.told, want, name);
  }
});

test('GA4: what was pushed before the tag came is told once, in its order', () => {
  const [page, layer] = withLayer(
    gtag('js', new Date()), gtag('config', 'G-1'), { event: 'gtm.js', 'gtm.start': 1 },
    { event: 'view_item', ecommerce: { currency: 'EUR', items: [mug] } }, gtag('event', 'add_to_cart', { currency: 'EUR', items: [mug] }),
  );
  page.run(ga4);
  layer.push({ event: 'gtm.dom' });
  assert.deepEqual(page.told.map(([kind]) => kind), ['product_view', 'cart_add']);
});

test('GA4: ecommerce that was pushed ahead of its event stands until it is reset', () => {
  const [page, layer] = withLayer();
  page.run(ga4);
  layer.push({ ecommerce: { currency: 'EUR', items: [mug] } }, { event: 'view_item' }, { ecommerce: null }, { event: 'add_to_cart' });
  layer.push({ event: 'begin_checkout', ecommerce: { currency: 'EUR', value: 3 } });
  assert.deepEqual(page.told, [['product_view', { ...product, currency: 'EUR' }], ['checkout_start', { cart_value: 3, currency: 'EUR' }]]);
});

test('GA4: what is no amount and no word is left out, and lists are cut where the collector would refuse', () => {
  const [page, layer] = withLayer();
  page.run(ga4);
  layer.push(gtag('event', 'purchase', { transaction_id: { id: 1 }, value: 'free', tax: -1, shipping: '', currency: 'EUR',
    items: [null, 'mug', ...Array.from({ length: 60 }, () => ({ item_id: 'x'.repeat(900), price: NaN, quantity: true }))] }));
  const [[, props] = []] = page.told;
  assert.deepEqual(Object.keys(props ?? {}), ['currency', 'items']);
  assert.equal(props?.items?.length, 50);
  assert.deepEqual(props?.items?.[0], { product: 'x'.repeat(170), quantity: 1 });
  for (const strange of [gtag('event', 'add_to_cart', { items: 'all' }), gtag('event', 'view_item', null), gtag('event', 7, {}), { event: 'view_item', ecommerce: 'x' }]) layer.push(strange);
  assert.equal(page.told.length, 1);
  assert.deepEqual(page.words, []);
});

test('the names in the documentation are those in the code', () => {
  const text = readFileSync('../docs/reference.md', 'utf8');
  const rows = [...text.matchAll(/^\| `(\w+)` \| (\S+) \| (\S+) \| .* \|$/gm)].filter(([, kind]) => /_|^search$|^purchase$/.test(kind ?? ''));
  const column = (i: number): object => Object.fromEntries(rows.filter((row) => /^`/.test(row[i] ?? '')).map((row) => [row[i]?.replace(/`/g, ''), row[1]]));
  assert.deepEqual(column(2), ga4Names);
  assert.deepEqual(column(3), shopify);
});
