// Beckon's closed lists in plain words. What is not listed is shown as it is.

export const reasons = {
  TARGETING_MATCH: 'The rule matched and every gate was open.',
  DEFAULT: 'No offer’s rule matches this visitor yet.',
  HOLDOUT: 'Eligible, but drawn for the comparison group that gets no offer.',
  OUTRANKED: 'Another offer came first.',
  COOLDOWN: 'An offer was made not long ago.',
  CAPPED: 'The offer has been given as often as it may.',
  MIN_CART: 'The cart is below the offer’s minimum.',
  TOO_NEW: 'The visitor is too new for this offer.',
  ABANDONER: 'The visitor has left too many carts behind.',
  NOT_STARTED: 'The offer has not started yet.',
  ENDED: 'The offer is over.',
  NO_CONSENT: 'Personal offers are not allowed, so none is made.',
  OPTED_OUT: 'The visitor has opted out.',
  BOT: 'This looks like an automated browser; those get no offers.',
  NO_VISITOR: 'No signed visitor cookie yet: this is the first answer of a first visit.',
  STALE: 'What is known is too old to decide on.',
  DISABLED: 'Offers are switched off.',
  ERROR: 'No answer from Beckon. The shop goes on without it.',
};

export const lanes = {
  count: 'count: in the totals, no id, no cookie',
  measure: 'measure: in the reports, an id for one day, no cookie',
  decide: 'decide: personal offers, a signed cookie',
};

export const causes = {
  default: 'no choice made: the site’s default',
  country: 'no choice made: the default for this country',
  choice: 'chosen in the banner',
  recorded: 'chosen earlier, recorded in the cookie',
  denied: 'rejected in the banner',
  gpc: 'the browser sends Global Privacy Control',
  dnt: 'the browser sends Do Not Track',
  'opt-out': 'opted out',
  'no-key': 'meant for the reports, but the key of the day is not there',
};

const names = {
  pageviews_1d: 'page views, 1 day', pageviews_7d: 'page views, 7 days', pageviews_30d: 'page views, 30 days',
  sessions_1d: 'visits, 1 day', sessions_7d: 'visits, 7 days', sessions_30d: 'visits, 30 days',
  product_views_7d: 'product views, 7 days', distinct_products_7d: 'different products, 7 days',
  cart_adds_7d: 'put in the cart, 7 days', cart_value: 'value of the cart', checkout_starts_7d: 'checkouts begun, 7 days',
  purchases_90d: 'orders, 90 days', revenue_90d: 'spent, 90 days',
  minutes_since_last_seen: 'minutes since last seen', minutes_since_cart: 'minutes since cart', days_since_first_seen: 'days since first seen',
  offers_shown_30d: 'offers made, 30 days', last_offer_minutes: 'minutes since an offer', is_returning: 'has been here before',
  utm_source: 'campaign source', utm_medium: 'campaign medium', utm_campaign: 'campaign', os: 'system',
};

const order = Object.keys(names);
const place = (key) => (order.includes(key) ? order.indexOf(key) : order.length);

/** Compares two entries by the place of their feature in the list above; what is not listed comes last. */
export const byFeature = ([a], [b]) => place(a) - place(b);

export const featureName = (key) => names[key] ?? key.replaceAll('_', ' ');

const never = 1e9; // minutes or days, by contract

const sums = ['cart_value', 'revenue_90d'];

/** Returns what to show, and whether it says little: nothing happened, nothing known. Sums are in currency. */
export function featureValue(key, value, currency) {
  if (value === true) return { text: 'yes', quiet: false };
  if (value === false) return { text: 'no', quiet: true };
  if (value === '' || value === null || value === undefined) return { text: 'unknown', quiet: true };
  if (Number(value) >= never) return { text: 'never', quiet: true };
  const text = sums.includes(key) ? Number(value).toLocaleString('en', { style: 'currency', currency }) : String(value);
  return { text, quiet: Number(value) === 0 };
}
