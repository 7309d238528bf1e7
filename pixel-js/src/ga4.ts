import { ga4 } from './names';
import type { Item, Kind, Props } from './wire';

type Fields = Readonly<Record<string, unknown>>;

/** What is undefined is not sent. */
type Loose<T> = { readonly [Name in keyof T]: T[Name] | undefined };

/**
 * What a GA4 e-commerce event says, in our words: nothing for an event that is none; for products that go
 * into the cart together, or out of it, an event each. Only what is named here is read.
 */
export function fromGa4(name: string, fields: Fields): [Kind, Loose<Props>][] {
  const kind = ga4[name];
  const items = (Array.isArray(fields['items']) ? fields['items'] : []).filter(isFields).slice(0, 50); // more is refused
  const [first = {}] = items;
  const currency = word(fields['currency'] ?? first['currency']);
  const cart = { cart_value: amount(fields['value']), currency };
  switch (kind) {
    case 'product_view':
    case 'cart_add':
    case 'cart_remove':
      return items.slice(0, kind === 'product_view' ? 1 : 50).map((item) => [kind, { ...product(item), currency }]);
    case 'collection_view':
      return [[kind, { category: word(fields['item_list_name'] ?? fields['item_list_id'] ?? first['item_list_name'] ?? first['item_category']) }]];
    case 'search':
      return [[kind, { query_length: String(fields['search_term'] ?? '').length }]];
    case 'cart_view':
    case 'checkout_start':
      return [[kind, cart]];
    case 'purchase':
      return [[kind, {
        order: word(fields['transaction_id']),
        value: amount(fields['value']),
        tax: amount(fields['tax']),
        shipping: amount(fields['shipping']),
        coupon: word(fields['coupon']),
        currency,
        items: items.map(line) as Item[],
      }]];
  }
  return [];
}

function product(item: Fields): Loose<Props> {
  return { ...line(item), category: word(item['item_category']) };
}

function line(item: Fields): Loose<Item> {
  return {
    product: word(item['item_id'] ?? item['item_name']),
    variant: word(item['item_variant']),
    quantity: amount(item['quantity']),
    price: amount(item['price']),
  };
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}

/** An id or a name, never longer than the collector takes it. */
function word(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value).slice(0, 170) || undefined : undefined;
}

/** GA4 takes numbers and their texts alike. What is no amount is left out: the collector would refuse the event. */
function amount(value: unknown): number | undefined {
  const number = typeof value === 'number' || value ? Number(value) : NaN;
  return number >= 0 && number < 1e12 ? number : undefined;
}
