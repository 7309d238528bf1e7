import type { Beckon } from './api';
import type { Decision, Kind, Props } from './wire';

/**
 * All that a part may use of the core. A part is a file of src/parts, loaded only on pages that need
 * it; it is called once, with this. What it throws reaches nobody.
 */
export interface Core {
  readonly site: string;
  /** Prefix of the collector and of the decision service, without a slash at the end. */
  readonly endpoint: string;
  /** The attributes of the script element, `data-debug` as `debug`. */
  readonly data: DOMStringMap;
  readonly tell: (kind: Kind, props?: Props) => void;
  /** Answers come as `beckon:decision` too; so does, at once, the end of a personalised offer by a withdrawal of consent. */
  readonly decision: () => Promise<Decision>;
  /**
   * What the visitor chose, at any time; lets the first request go. The core adds where the page was
   * landed on and who referred to it, as `u` and `r` of the choice.
   */
  readonly consent: Beckon['consent'];
  /** Lets the first request of a page with `data-consent` go without a choice: the visitor has not made one. */
  readonly ready: () => void;
  /** The `Beckon-Lane` of the last reply, such as `decide; choice`. Nothing is kept in the browser but in `decide`. */
  readonly lane: () => string | null | undefined;
  /** Hears of all that goes on. Does nothing, until the part `debug` puts its own words here. */
  debug: (...words: unknown[]) => void;
  /** Takes calls of `beckon()` by names that the core does not know. The part `names` puts it here. */
  unknown?: (name: string, detail: unknown) => void;
  /** Listens quietly, ahead of the page's own listeners, until `beckon.stop()`. */
  readonly listen: (target: EventTarget, type: string, run: (event: Event) => void) => void;
}

/** What each file of src/parts exports. */
export type Part = (core: Core) => void;
