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
  readonly decision: () => Promise<Decision>;
  readonly consent: Beckon['consent'];
  /** Tells the shop's developer what goes on, if `data-debug` asks for it. */
  readonly debug: (...words: unknown[]) => void;
  /** Listens quietly, ahead of the page's own listeners, until `beckon.stop()`. */
  readonly listen: (target: EventTarget, type: string, run: (event: Event) => void) => void;
}

/** What each file of src/parts exports. */
export type Part = (core: Core) => void;
