/** BigCommerce's side: the renderer of its themes, pages as its reference describes their objects. */
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';

export interface Script {
  readonly html: string;
  readonly consent_category: string;
}

export const scripts = (endpoint: string, site = 'demo'): Script[] =>
  execFileSync('node', ['bigcommerce/scripts.mjs', endpoint, site], { encoding: 'utf8' }).trim().split('\n').map((line) => JSON.parse(line) as Script);

interface Renderer {
  renderString(template: string, context: unknown): Promise<string>;
}

/** Whatever of this is found in a request is a leak. */
export const personal = ['ada@example.com', 'Ada', 'Beispiel', '+491701234567', 'Seestra', '10115', 'lantern for my wife'];

const customer = { id: 7205551, name: 'Ada Beispiel', email: 'ada@example.com', phone: '+491701234567' };
const eur = (value: number) => ({ currency: 'EUR', formatted: `€${value}`, value });

/** Contexts of the theme, by path. */
export const pages: Record<string, Record<string, unknown>> = {
  '/': { page_type: 'default', customer },
  '/lantern/': { page_type: 'product', customer, product: { id: 77, title: 'Ember lantern', price: { without_tax: eur(42.02), with_tax: eur(50) } } },
  '/lamps/': { page_type: 'category', customer, category: { name: 'Lamps </script><script>alert("x")</script> & more' } },
  '/search.php': { page_type: 'search', customer },
  '/cart.php': { page_type: 'cart', customer, cart: { sub_total: eur(84.04) } },
  '/checkout': { page_type: 'checkout', customer },
  '/checkout/order-confirmation': { page_type: 'orderconfirmation', customer, checkout: { order: { id: 218 } } },
};

/** The page with the scripts that the visitor has allowed, in the order of the Script Manager. */
export async function render(list: readonly Script[], context: Record<string, unknown>): Promise<string> {
  const Renderer = createRequire(import.meta.url)('@bigcommerce/stencil-paper-handlebars') as new (...args: unknown[]) => Renderer;
  const rendered = await Promise.all(list.map(({ html }) => new Renderer({}, {}, 'v3').renderString(html, structuredClone(context))));
  return `<!doctype html><html><head><title>Shop</title><link rel="icon" href="data:,">${rendered.join('\n')}</head><body><h1>${String(context['page_type'])}</h1>
<form data-cart-item-add action="/nowhere" onsubmit="return false"><input name="product_id" value="77"><input name="qty[]" value="2"><button>Add</button></form></body></html>`;
}

const lines = {
  physicalItems: [{ id: 'a', productId: 77, variantId: 69, sku: 'L', name: 'Ember lantern', quantity: 2, salePrice: 45, listPrice: 50, extendedSalePrice: 90, options: [{ name: 'Engraving', value: 'for Ada' }] }],
  digitalItems: [{ id: 'b', productId: 80, variantId: 0, sku: 'E', name: 'Guide', quantity: 1, salePrice: 17.55, listPrice: 17.55, extendedSalePrice: 17.55 }],
  giftCertificates: [{ id: 'c', name: 'for Ada Beispiel', recipient: { email: 'ada@example.com', name: 'Ada' }, amount: 0 }],
  customItems: [],
};

/** Answers of the Storefront API, by path. Prices include 19 % of tax. */
export const storefront: Record<string, unknown> = {
  '/api/storefront/carts': [{ id: 'd1', email: 'ada@example.com', currency: { code: 'EUR' }, baseAmount: 117.55, cartAmount: 107.55, discountAmount: 0, coupons: [], lineItems: lines }],
  '/api/storefront/orders/218': {
    orderId: 218, cartId: 'd1', currency: { code: 'EUR' }, isTaxIncluded: true, baseAmount: 117.55, discountAmount: 2, orderAmount: 112.45, shippingCostTotal: 4.9,
    handlingCostTotal: 0, taxTotal: 17.95, coupons: [{ code: 'WINTER', couponType: 'percentage', discountedAmount: 10, displayName: 'Winter' }], lineItems: lines, status: 'AWAITING_FULFILLMENT',
    customerId: 7205551, customerMessage: 'Please ring at Beispiel', isComplete: true,
    billingAddress: { firstName: 'Ada', lastName: 'Beispiel', email: 'ada@example.com', phone: '+491701234567', address1: 'Seestraße 1', postalCode: '10115', city: 'Berlin', countryCode: 'DE' },
  },
};
