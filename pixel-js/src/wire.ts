/**
 * Everything that crosses the network, spelled once: the batch of `POST /e`, its receipt, and the
 * answer of `GET /v1/decision`. The collector's tests read what the tests here write of it
 * (fixtures/), so a name changed on one side only turns a build red.
 */

/** What can happen in a shop, as a browser may tell it. Refunds are told by the shop's server. */
export type Kind =
  | 'page_view'
  | 'product_view'
  | 'collection_view'
  | 'search'
  | 'cart_view'
  | 'cart_add'
  | 'cart_remove'
  | 'checkout_start'
  | 'purchase'
  | 'offer_shown'
  | 'offer_accepted'
  | 'offer_dismissed';

/** One line of an order. `price` is per unit. */
export interface Item {
  readonly product?: string;
  readonly variant?: string;
  readonly quantity?: number;
  readonly price?: number;
}

/** What an event can say. The collector ignores any other name and never stores it. */
export interface Props {
  readonly product?: string;
  readonly variant?: string;
  readonly category?: string;
  readonly quantity?: number;
  /** Per unit. */
  readonly price?: number;
  /** ISO 4217, such as `EUR`. */
  readonly currency?: string;
  readonly cart_value?: number;
  /** The order's total, net of discount, tax and shipping. */
  readonly value?: number;
  readonly discount?: number;
  readonly tax?: number;
  readonly shipping?: number;
  /** At most 50. */
  readonly items?: readonly Item[];
  /** Kept as a keyed hash only. */
  readonly order?: string;
  /** Kept as a keyed hash only. */
  readonly coupon?: string;
  readonly offer?: string;
  readonly decision?: string;
  /** How long the searched words were. The words themselves stay in the browser. */
  readonly query_length?: number;
}

/** One event. Times are milliseconds since 1970 by the browser's clock. */
export interface ShopEvent {
  readonly n: Kind;
  /** A UUIDv7 made once, so that a retry is never a second event. */
  readonly i: string;
  readonly t: number;
  readonly u: string;
  readonly r?: string | undefined;
  readonly p?: Props | undefined;
}

/** What the visitor chose in the shop's consent banner, and when. */
export interface Choice {
  readonly decide: boolean;
  readonly measure: boolean;
  readonly src?: string | undefined;
  readonly ver?: string | undefined;
  readonly at: number;
  /**
   * Address and referrer of the page on which this page load began, where the choice allows more than was
   * allowed when its page view was sent: so a visit has its campaign without a second page view.
   */
  readonly u?: string | undefined;
  readonly r?: string | undefined;
}

/** The body of `POST /e`. A batch without events is how a choice travels alone. */
export interface Batch {
  readonly v: 1;
  readonly s: string;
  /** When it was sent: with `t` it tells the collector how wrong the browser's clock is. */
  readonly z: number;
  /** The browser says that a program drives it (`navigator.webdriver`). Absent for people. */
  readonly w: true | undefined;
  readonly c: Choice | undefined;
  readonly e: readonly ShopEvent[];
}

/** What the collector says of a batch when it has to name events; 204 means that all were accepted. */
export interface Receipt {
  readonly accepted: number;
  /** A `duplicate` is an event that an earlier try or a beacon has already brought. */
  readonly dropped: readonly { readonly i: string; readonly reason: string }[];
}

export const laneHeader = 'Beckon-Lane';
export const reasonHeader = 'Beckon-Reason';

export interface Offer {
  readonly id: string;
  readonly kind: string;
  readonly percent: number | null;
  readonly amount: number | string | null;
  readonly currency: string | null;
  readonly title: string;
  readonly code: string | null;
  readonly min_cart_value: number | string | null;
  readonly applies_to: readonly string[];
  readonly combinable: boolean;
}

/** Whether this visitor gets that discount, and why. Only the first four are always there. */
export interface Decision {
  readonly site?: string;
  readonly eligible: boolean;
  readonly offer?: Offer | null;
  /** `TARGETING_MATCH`, or why not: `DEFAULT`, `HOLDOUT`, `NO_VISITOR`, `ERROR` and so on. */
  readonly reason: string;
  readonly arm?: string | null;
  readonly rule?: string | null;
  /** Signed proof for the shop's back end. Names no visitor. */
  readonly token?: string | null;
  readonly expires_at?: string | null;
  readonly fresh_at?: string | null;
  readonly personalised?: boolean;
  readonly disclosure?: string | null;
  readonly decision_id?: string | null;
}
