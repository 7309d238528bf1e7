import type { Beckon, Consent } from './api';
import type { Settings } from './settings';
import type { Decision, Kind, Props, ShopEvent } from './wire';

/**
 * All that a part may use of the core. A part is a file of src/parts, loaded only on pages that need
 * it; it is called once, with this. What it throws reaches nobody.
 */
export interface Core {
  readonly site: string;
  /** Prefix of the collector and of the decision service, without a slash at the end. */
  readonly endpoint: string;
  /** The attributes of the script element, `data-debug` as `debug`. */
  readonly data: Settings;
  readonly tell: (kind: Kind, props?: Props) => void;
  /** Answers come as `beckon:decision` too; so does, at once, the end of a personalised offer by a withdrawal of consent. */
  readonly decision: () => Promise<Decision>;
  /**
   * What the visitor chose, at any time; lets the first request go. The core adds where the page was
   * landed on and who referred to it, as `u` and `r` of the choice.
   */
  readonly consent: (consent: Consent) => void;
  /** Lets the first request of a page with `data-consent` go without a choice: the visitor has not made one. */
  readonly ready: () => void;
  /** The `Beckon-Lane` of the last reply, such as `decide; choice`, and before it `decide` where this tab has remembered an offer. Nothing is kept in the browser but in `decide`. */
  readonly lane: () => string | null | undefined;
  /** The events that no reply has answered yet. */
  readonly queue: () => readonly ShopEvent[];
  /** Hears of faults. Does nothing, until the part `debug` puts its own words here. */
  debug: (...words: unknown[]) => void;
  /** What `beckon(name, detail)` does, by its name: a part may add names. */
  readonly calls: Record<string, (detail: never) => void>;
  /** The same function for the browser to call: what it throws is told to the shop's developer, not to the page. */
  readonly guard: <A extends unknown[]>(run: (...args: A) => void) => (...args: A) => void;
  /** Listens quietly, ahead of the page's own listeners. */
  readonly listen: (target: EventTarget, type: string, run: (event: Event) => void) => void;
}

/** What each file of src/parts exports. A promise holds the first request until it resolves, a second at most. */
export type Part = (core: Core) => void | Promise<unknown>;

/** What the core hands to the part `parts`, which makes a `Core` of it for the others. */
export type Parts = (
  beckon: Beckon & Record<string, (detail: never) => void> & { debug: Core['debug'] },
  data: Settings,
  endpoint: string,
  tell: Core['tell'],
  now: () => readonly [lane: string | null | undefined, queue: ReturnType<Core['queue']>],
) => Promise<unknown>;
