import assert from 'node:assert/strict';
import { test } from 'node:test';
import names from '../src/parts/names';
import { partPage } from './part';

test('names: an event by the name of GA4 or Shopify is told by ours, its props as they are or in our words', () => {
  const told = (name: string, detail?: unknown): unknown => {
    const page = partPage();
    page.run(names);
    page.core.calls[name]?.(detail as never);
    return page.told;
  };
  assert.deepEqual(told('product_added_to_cart', { product: 'mug', price: 2 }), [['cart_add', { product: 'mug', price: 2 }]]);
  assert.deepEqual(told('add_to_cart', { product: 'mug', price: 2 }), [['cart_add', { product: 'mug', price: 2 }]]);
  assert.deepEqual(told('add_to_cart', { currency: 'EUR', items: [{ item_id: 'mug', price: 2 }, { item_id: 'pot' }], user_data: { email: 'jane@example.com' } }),
    [['cart_add', { product: 'mug', price: 2, currency: 'EUR' }], ['cart_add', { product: 'pot', currency: 'EUR' }]]);
  assert.deepEqual(told('view_cart', { value: 20, currency: 'EUR' }), [['cart_view', { cart_value: 20, currency: 'EUR' }]]);
  assert.deepEqual(told('purchase_completed', {}), []);
  assert.deepEqual(told('checkout_started'), [['checkout_start', {}]]);
  assert.deepEqual(told('view_promotion', { offer: 'welcome-back' }), [['offer_shown', { offer: 'welcome-back' }]]);
});

test('names: a name that is ours as well is read by the props that come with it, and no words of a search go out', () => {
  const page = partPage();
  page.run(names);
  const told = (name: string, detail: unknown): unknown => {
    page.told.length = 0;
    page.core.calls[name]!(detail as never);
    return page.told;
  };
  assert.deepEqual(told('purchase', { transaction_id: 'A-1', value: 25, items: [{ item_id: 'mug', quantity: 2 }] }),
    [['purchase', { order: 'A-1', value: 25, items: [{ product: 'mug', quantity: 2 }] }]]);
  assert.deepEqual(told('purchase', { value: 25, items: [{ item_name: 'Mug' }] }), [['purchase', { value: 25, items: [{ product: 'Mug' }] }]]);
  for (const own of [{ order: 'A-1', discount: 5, items: [{ product: 'mug' }] }, { value: 25, items: [{ product: 'mug' }] }, { discount: 5, items: 'none' }, {}]) {
    assert.deepEqual(told('purchase', own), [['purchase', own]]);
  }
  assert.deepEqual(told('search', { search_term: 'red shoes' }), [['search', { query_length: 9 }]]);
  assert.deepEqual(told('search', { query_length: 4 }), [['search', { query_length: 4 }]]);
  assert.deepEqual(told('search', { query_length: 9, search_term: 'red shoes' }), [['search', { query_length: 9 }]]);
  assert.deepEqual(told('search_submitted', { search_term: 'red shoes' }), [['search', {}]]);
  assert.deepEqual(told('search', undefined), [['search', {}]]);
});

test('names: a name that nobody knows, or that says the same to all, is left to the core', () => {
  const page = partPage();
  page.run(names);
  for (const name of ['cart_ad', 'toString', '', 'page_view']) {
    assert.ok(!Object.hasOwn(page.core.calls, name), name);
  }
});
