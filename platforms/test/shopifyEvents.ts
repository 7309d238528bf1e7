/**
 * Standard events in the shapes that Shopify documents (@shopify/web-pixels-extension 2.18.0, which the type
 * check holds them to), filled like those of a real shop, with everything in them that names a person.
 */
import type {
  Attribute,
  Cart,
  CartLine,
  Checkout,
  Context,
  Location,
  MailingAddress,
  PixelEvents,
  ProductVariant,
  RegisterInit,
} from '@shopify/web-pixels-extension';

/** Whatever of this is found in a request is a leak. */
export const personal = [
  'ada@example.com', 'ada%40example.com', 'Ada', 'Beispiel', '+491701234567', '1701234567', 'Seestra', '10115', 'Berlin',
  'lantern for my wife', 'lantern%20for', 'Z2NwLWV1cm9wZS13ZXN0MTow', '8a1f0e3c5d7b9a2c4e6f8b0d1c3e5a7f', 'key=', '7205551', 'ece6cea2-0914-4dcd-8345-8d64ce97b76b',
];

const shop = 'https://shop.example';
const clientId = 'ece6cea2-0914-4dcd-8345-8d64ce97b76b';
export const checkoutPath = '/checkouts/cn/Z2NwLWV1cm9wZS13ZXN0MTow/en-de';

function location(path: string): Location {
  const { hash, host, hostname, href, origin, pathname, port, protocol, search } = new URL(path, shop);
  return { hash, host, hostname, href, origin, pathname, port, protocol, search };
}

const context = (path: string): Context => ({
  document: { characterSet: 'UTF-8', location: location(path), referrer: `${shop}/search?q=lantern+for+my+wife`, title: 'Ada, your order' },
  navigator: { cookieEnabled: true, language: 'en-DE', languages: ['en-DE', 'en'], userAgent: 'Mozilla/5.0' },
  window: {
    innerHeight: 900, innerWidth: 1440, location: location(path), origin: shop, outerHeight: 900, outerWidth: 1440, pageXOffset: 0, pageYOffset: 0,
    screen: { height: 900, width: 1440 }, screenX: 0, screenY: 0, scrollX: 0, scrollY: 0,
  },
});

const eur = (amount: number) => ({ amount, currencyCode: 'EUR' });

const lantern: ProductVariant = {
  id: '43218082857195', sku: 'LANTERN-R', title: 'Red', untranslatedTitle: 'Red', price: eur(50), image: { src: '//shop.example/cdn/shop/lantern.jpg' },
  product: { id: '7808926384363', title: 'Ember lantern', untranslatedTitle: 'Ember lantern', type: 'Lamps', url: '/products/ember-lantern', vendor: 'Shop' },
};
const mug: ProductVariant = {
  id: '43218082726123', sku: null, title: 'Default Title', untranslatedTitle: 'Default Title', price: eur(19.5), image: null,
  product: { id: '7808926253291', title: 'Harbour mug', untranslatedTitle: 'Harbour mug', type: '', url: '/products/harbour-mug', vendor: 'Shop' },
};

const cartLine: CartLine = { quantity: 2, merchandise: lantern, cost: { totalAmount: eur(100) } };

const cart = (attributes: Attribute[]): Cart => ({
  id: 'Z2NwLWV1cm9wZS13ZXN0MTow?key=8a1f0e3c5d7b9a2c4e6f8b0d1c3e5a7f', attributes, cost: { totalAmount: eur(119.5) }, totalQuantity: 3,
  lines: [cartLine, { quantity: 1, merchandise: mug, cost: { totalAmount: eur(19.5) } }],
});

const ada: MailingAddress = {
  firstName: 'Ada', lastName: 'Beispiel', address1: 'Seestraße 1', address2: null, city: 'Berlin', country: 'Germany', countryCode: 'DE', phone: '+491701234567',
  province: 'Berlin', provinceCode: 'BE', zip: '10115',
};

const code = { type: 'DISCOUNT_CODE', title: 'WINTER', allocationMethod: 'ACROSS', targetSelection: 'ALL', targetType: 'LINE_ITEM', value: { percentage: 10 } };

/** Prices include 19 % of tax, as in a shop of the EU: 107.55 of goods and 4.90 of shipping have 17.95 in them. */
const checkout = (attributes: Attribute[]): Checkout => ({
  token: '8a1f0e3c5d7b9a2c4e6f8b0d1c3e5a7f', currencyCode: 'EUR', attributes,
  email: 'ada@example.com', phone: '+491701234567', smsMarketingPhone: '+491701234567', billingAddress: ada, shippingAddress: ada,
  buyerAcceptsEmailMarketing: true, buyerAcceptsSmsMarketing: false,
  discountApplications: [code], discountsAmount: eur(11.95), subtotalPrice: eur(107.55), totalPrice: eur(112.45), totalTax: eur(17.95),
  shippingLine: { price: eur(4.9) },
  delivery: { selectedDeliveryOptions: [{ cost: eur(4.9), costAfterDiscounts: eur(4.9), description: 'To Ada in Berlin', handle: 'dhl', title: 'DHL', type: 'shipping' }] },
  localization: { country: { isoCode: 'DE' }, language: { isoCode: 'en' }, market: { handle: 'eu', id: '1' } },
  lineItems: [
    { id: '1', quantity: 2, title: 'Ember lantern', variant: lantern, finalLinePrice: eur(90), discountAllocations: [{ amount: eur(10), discountApplication: code }], properties: [{ key: 'engraving', value: 'for Ada' }], sellingPlanAllocation: null },
    { id: '2', quantity: 1, title: 'Harbour mug', variant: mug, finalLinePrice: eur(17.55), discountAllocations: [{ amount: eur(1.95), discountApplication: code }], properties: [], sellingPlanAllocation: null },
  ],
  transactions: [{ amount: eur(112.45), gateway: 'shopify_payments', paymentMethod: { name: 'Visa of Ada', type: 'creditCard' } }],
  order: null,
});

/** An offer's token as the aggregator signs it, whose claims are {"sub":DECISION,"offer":"welcome-back"}. */
const offerToken = `e30.${btoa('{"sub":"4be3cc6a8d1c4ef09c1f1ab1e2d3c4b5","offer":"welcome-back"}').replace(/=+$/, '')}.c2ln`;

type Recorded = { [K in keyof PixelEvents]?: PixelEvents[K] };

/** What a visit sets off, in its order. `link` is the token in the cart, absent before there is one; `now` is when, in ms. */
export function visit(link: string | undefined, now: number): Recorded {
  let seq = 0;
  const attributes: Attribute[] = [...(link ? [{ key: '_beckon', value: link }] : []), { key: 'beckon_offer', value: offerToken }, { key: 'gift note', value: 'for Ada' }];
  const event = (path: string) => {
    seq++;
    return {
      id: `sh-0259a238-2A20-436E-D1AC-731D262C99${(0x10 + seq).toString(16).toUpperCase()}`, clientId, seq, timestamp: new Date(now + seq).toISOString(),
      type: 'standard' as never, context: context(path),
    };
  };
  return {
    page_viewed: { ...event(`${checkoutPath}/information?key=secret&utm_source=letter`), name: 'page_viewed', data: {} },
    collection_viewed: { ...event('/en-de/collections/lamps?page=2'), name: 'collection_viewed', data: { collection: { id: '408385257707', title: 'Lamps', productVariants: [lantern] } } },
    search_submitted: { ...event('/search?q=lantern+for+my+wife'), name: 'search_submitted', data: { searchResult: { query: 'lantern for my wife', productVariants: [lantern] } } },
    product_viewed: { ...event('/products/ember-lantern?variant=43218082857195&utm_campaign=winter#Ada'), name: 'product_viewed', data: { productVariant: lantern } },
    product_added_to_cart: { ...event('/products/ember-lantern'), name: 'product_added_to_cart', data: { cartLine } },
    cart_viewed: { ...event('/cart'), name: 'cart_viewed', data: { cart: cart(attributes) } },
    product_removed_from_cart: { ...event('/cart/c/Z2NwLWV1cm9wZS13ZXN0MTow?key=8a1f'), name: 'product_removed_from_cart', data: { cartLine: { ...cartLine, quantity: 1, cost: { totalAmount: eur(50) } } } },
    checkout_started: { ...event(`${checkoutPath}/information`), name: 'checkout_started', data: { checkout: checkout(attributes) } },
    checkout_completed: {
      ...event(`${checkoutPath}/thank-you`), name: 'checkout_completed',
      data: { checkout: { ...checkout(attributes), order: { id: 'gid://shopify/OrderIdentity/5551', customer: { id: '7205551', isFirstOrder: true } } } },
    },
  };
}

/** What the pixel is given when it starts. */
export const init = (link: string | undefined, permissions: Partial<RegisterInit['customerPrivacy']> = {}): RegisterInit => ({
  context: context('/'),
  data: {
    customer: { id: '7205551', email: 'ada@example.com', firstName: 'Ada', lastName: 'Beispiel', phone: '+491701234567', ordersCount: 3 },
    cart: cart(link ? [{ key: '_beckon', value: link }] : []),
    shop: { countryCode: 'DE', myshopifyDomain: 'shop.myshopify.com', name: 'Shop', paymentSettings: { currencyCode: 'EUR' }, storefrontUrl: shop },
    purchasingCompany: null,
  },
  customerPrivacy: { analyticsProcessingAllowed: true, marketingAllowed: true, preferencesProcessingAllowed: true, saleOfDataAllowed: true, ...permissions },
});
