import type { Location } from '@shopify/web-pixels-extension';

// First folders whose names below are the shop's own words. Below any other, addresses hold secrets: of
// checkouts, orders, accounts, gift cards, shared carts.
const shopsWords = ['products', 'collections', 'pages', 'blogs', 'policies'];
const checkoutSteps = ['information', 'contact_information', 'shipping', 'shipping_method', 'payment', 'payment_method', 'processing', 'review', 'thank_you', 'thank-you'];
const locale = /^[a-z]{2}(-[a-z]{2,4})?$/i;

export const isCheckout = ({ pathname }: Location): boolean => folders(pathname).includes('checkouts');

/** The page's address as far as it may be told: no token, no search words, of the query only what campaigns say. */
export function page({ origin, pathname, search }: Location): string {
  const kept = new URLSearchParams([...new URLSearchParams(search)].filter(([key]) => key.startsWith('utm_'))).toString();
  return (origin + path(pathname) + (kept && `?${kept}`)).slice(0, 512);
}

/** Where the visitor came from: the host, never the page. */
export function referrer(address: string): string | undefined {
  try {
    return new URL(address).origin;
  } catch {
    return undefined; // none
  }
}

/** The collection's name in its address. */
export const collectionOf = ({ pathname }: Location): string | undefined => /\/collections\/([^/]+)/.exec(pathname)?.[1];

function path(pathname: string): string {
  const names = folders(pathname);
  const at = names[0] && locale.test(names[0]) ? 1 : 0;
  const first = names[at];
  if (!first || shopsWords.includes(first)) return pathname;
  const start = `/${names.slice(0, at).concat('').join('/')}`;
  if (names.includes('checkouts')) {
    const step = checkoutSteps.find((s) => s === names.at(-1));
    return `${start}checkouts${step ? `/${step}` : ''}`;
  }
  if (names.includes('orders')) return `${start}orders`; // /SHOP/orders/TOKEN, the status of an order
  return /^\d+$/.test(first) ? start : start + first;
}

const folders = (pathname: string): string[] => pathname.split('/').filter(Boolean);
