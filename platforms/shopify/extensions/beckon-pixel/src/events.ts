/**
 * Shopify's standard events in Beckon's words. Only what is named here is read: e-mail, telephone, names,
 * addresses, titles, search words and tokens of checkouts have no way out.
 */
import type { Attribute, CartLine, Checkout, CheckoutLineItem, PixelEvents, ProductVariant } from '@shopify/web-pixels-extension';
import { collectionOf } from './address';

export const kinds = {
  page_viewed: 'page_view',
  product_viewed: 'product_view',
  collection_viewed: 'collection_view',
  search_submitted: 'search',
  cart_viewed: 'cart_view',
  product_added_to_cart: 'cart_add',
  product_removed_from_cart: 'cart_remove',
  checkout_started: 'checkout_start',
  checkout_completed: 'purchase',
} as const;

export type Heard = PixelEvents[keyof typeof kinds];

export interface Item {
  readonly product?: string | undefined;
  readonly variant?: string | undefined;
  readonly quantity?: number;
  readonly price?: number;
}

/** Beckon's props, as far as Shopify's events fill them. Undefined ones are not sent. */
export interface Props extends Item {
  readonly category?: string | undefined;
  readonly currency?: string | undefined;
  readonly cart_value?: number | undefined;
  readonly value?: number | undefined;
  readonly discount?: number | undefined;
  readonly tax?: number | undefined;
  readonly shipping?: number | undefined;
  readonly items?: readonly Item[];
  readonly order?: string | undefined;
  readonly coupon?: string | undefined;
  readonly offer?: string | undefined;
  readonly decision?: string | undefined;
  readonly query_length?: number;
}

/** The cart's attribute with the link token, of which the theme's beckon-link.js says more. */
export const linkAttribute = '_beckon';
/** The cart's attribute with the token of the offer that the shopper has accepted. */
const offerAttribute = 'beckon_offer';

const maxItems = 50;

export const linkOf = (attributes: readonly Attribute[] | undefined): string | undefined => valueOf(attributes, linkAttribute);

/** The attributes of the cart or checkout that the event is about. */
export function attributesOf(event: Heard): readonly Attribute[] | undefined {
  switch (event.name) {
    case 'cart_viewed':
      return event.data.cart?.attributes;
    case 'checkout_started':
    case 'checkout_completed':
      return event.data.checkout.attributes;
    default:
      return undefined;
  }
}

export function propsOf(event: Heard): Props | undefined {
  switch (event.name) {
    case 'product_viewed':
      return variant(event.data.productVariant);
    case 'collection_viewed':
      return { category: collectionOf(event.context.document.location) ?? event.data.collection.title };
    case 'search_submitted':
      return { query_length: [...event.data.searchResult.query].length };
    case 'cart_viewed':
      return event.data.cart
        ? {
            cart_value: event.data.cart.cost.totalAmount.amount,
            currency: event.data.cart.cost.totalAmount.currencyCode,
            items: event.data.cart.lines.slice(0, maxItems).map(line),
          }
        : undefined;
    case 'product_added_to_cart':
    case 'product_removed_from_cart':
      return event.data.cartLine ? { ...variant(event.data.cartLine.merchandise), quantity: event.data.cartLine.quantity } : undefined;
    case 'checkout_started':
      return {
        cart_value: event.data.checkout.subtotalPrice?.amount,
        currency: event.data.checkout.currencyCode ?? undefined,
        items: event.data.checkout.lineItems.slice(0, maxItems).map(lineItem),
      };
    case 'checkout_completed':
      return purchase(event.data.checkout);
    default:
      return undefined;
  }
}

function purchase(c: Checkout): Props {
  return {
    order: c.order?.id?.split('/').at(-1), // gid://shopify/OrderIdentity/1234 and 1234 are one order
    currency: c.currencyCode ?? undefined,
    ...sums(c),
    discount: c.discountsAmount?.amount,
    coupon: c.discountApplications.find((d) => d.type === 'DISCOUNT_CODE')?.title,
    items: c.lineItems.slice(0, maxItems).map(lineItem),
    ...offer(valueOf(c.attributes, offerAttribute)),
  };
}

/**
 * The order's value is what its goods cost after discounts, without tax. Where prices include tax, so does
 * Shopify's subtotal, and the total has no room for the tax beside it; then the tax is taken out of goods
 * and shipping in proportion, since the checkout tells no more than its sum.
 */
function sums(c: Checkout): Pick<Props, 'value' | 'tax' | 'shipping'> {
  const options = c.delivery?.selectedDeliveryOptions ?? [];
  const goods = c.subtotalPrice?.amount;
  const tax = c.totalTax?.amount ?? 0;
  const shipping = options.length ? options.reduce((sum, o) => sum + ((o.costAfterDiscounts ?? o.cost)?.amount ?? 0), 0) : (c.shippingLine?.price.amount ?? 0);
  if (goods === undefined) return {};
  const gross = goods + shipping;
  const included = tax > 0 && gross > 0 && c.totalPrice != null && c.totalPrice.amount < gross + tax - 0.005;
  const share = included ? 1 - tax / gross : 1;
  return { value: money(goods * share), tax, shipping: money(shipping * share) };
}

/** Which offer it was: what the token's claims say. They prove nothing here, and need not: the shop has checked them. */
function offer(token: string | undefined): Pick<Props, 'offer' | 'decision'> {
  try {
    const claims = JSON.parse(atob((token?.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/'))) as { offer?: string; sub?: string };
    return { offer: claims.offer, decision: claims.sub };
  } catch {
    return {}; // none
  }
}

const variant = (v: ProductVariant): Props => ({ product: v.product.id ?? undefined, variant: v.id ?? undefined, price: v.price.amount, currency: v.price.currencyCode });

const line = ({ merchandise: m, quantity }: CartLine): Item => ({ product: m.product.id ?? undefined, variant: m.id ?? undefined, quantity, price: m.price.amount });

const lineItem = ({ variant: v, quantity, finalLinePrice }: CheckoutLineItem): Item => ({
  product: v?.product.id ?? undefined,
  variant: v?.id ?? undefined,
  quantity,
  price: quantity > 0 ? money(finalLinePrice.amount / quantity) : 0,
});

const valueOf = (attributes: readonly Attribute[] | undefined, key: string): string | undefined => attributes?.find((a) => a.key === key)?.value;

const money = (amount: number): number => Math.round(amount * 10_000) / 10_000;
