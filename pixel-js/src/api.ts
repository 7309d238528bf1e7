import type { Decision, Kind, Props } from './wire';

/** What the visitor chose. What is left out is not granted. */
export interface Consent {
  /** Personalised offers: a visitor cookie, features, decisions. */
  readonly decide?: boolean;
  /** Traffic reports without a cookie. */
  readonly measure?: boolean;
  /** Where it was chosen, such as `banner`. */
  readonly src?: string;
  /** Which text was agreed to. */
  readonly ver?: string;
  /** When it was made, in milliseconds since 1970. Now, when left out. */
  readonly at?: number;
}

/**
 * The one global. Until the script is there, one line in the page's head takes its calls:
 *
 *     window.beckon=window.beckon||function(){(beckon.q=beckon.q||[]).push(arguments)}
 *
 * Nothing here throws, and no promise from here rejects.
 */
export interface Beckon extends Calls {
  /** Calls that were made before the script was there; afterwards something that makes them at once. */
  q: { push(call: ArrayLike<unknown>): void };
}

/** What a page can tell and ask. */
export interface Calls {
  (kind: Kind, props?: Props): void;
  (command: 'consent', consent: Consent): void;
  (command: 'decision', callback: (decision: Decision) => void): void;
  /** Whether this visitor gets a discount, in at most three seconds. Only after the script has loaded. */
  decision(): Promise<Decision>;
  consent(consent: Consent): void;
}

declare global {
  interface Window {
    beckon?: Beckon | undefined;
  }
}
