import type { Kind } from './wire';

/**
 * What others call our kinds. The table "Kinds" of docs/reference.md is held against this one by a
 * test; Segment's names are there only, since no page of a shop tells them to us.
 */
export const ga4: Readonly<Record<string, Kind>> = {
  page_view: 'page_view',
  view_item: 'product_view',
  view_item_list: 'collection_view',
  search: 'search',
  view_cart: 'cart_view',
  add_to_cart: 'cart_add',
  remove_from_cart: 'cart_remove',
  begin_checkout: 'checkout_start',
  purchase: 'purchase',
  view_promotion: 'offer_shown',
  select_promotion: 'offer_accepted',
};

export const shopify: Readonly<Record<string, Kind>> = {
  page_viewed: 'page_view',
  product_viewed: 'product_view',
  collection_viewed: 'collection_view',
  search_submitted: 'search',
  cart_viewed: 'cart_view',
  product_added_to_cart: 'cart_add',
  product_removed_from_cart: 'cart_remove',
  checkout_started: 'checkout_start',
  checkout_completed: 'purchase',
};
