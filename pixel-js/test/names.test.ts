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

test('names: a name that nobody knows, or that is ours, is left to the core', () => {
  const page = partPage();
  page.run(names);
  for (const name of ['cart_ad', 'toString', '', 'purchase', 'page_view', 'search']) {
    assert.ok(!Object.hasOwn(page.core.calls, name), name);
  }
});
