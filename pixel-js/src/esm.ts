/** The same tag for pages that are built by a bundler: `import { init, beckon } from '@beckon/pixel'`. */
import type { Beckon, Calls, Consent } from './api';
import { start } from './start';
import type { Decision } from './wire';

export type { Calls, Consent } from './api';
export type { Decision, Item, Kind, Offer, Props } from './wire';

export interface Options {
  /** The site's id in `sites.yaml`. */
  readonly site: string;
  /** Prefix of the collector and of the decision service, such as `/px`. */
  readonly endpoint: string;
  /** Parts to load in any case, such as `['ga4', 'names']`. */
  readonly use?: readonly string[];
  /** Whose choice to follow. */
  readonly consent?: 'shopify' | 'tcf' | 'gpp' | 'google';
  /** Its words that must all be granted for `decide`, and for `measure`, in place of the tag's own lists. */
  readonly consentDecide?: string;
  readonly consentMeasure?: string;
  /** Which text was agreed to, in place of the version that the vendor knows. */
  readonly consentVersion?: string;
  /** Name of the data layer, when it is not `dataLayer`. */
  readonly layer?: string;
  /** Tell on the console what goes on. */
  readonly debug?: boolean;
  /** Where a router's path begins, such as `/#/`: what is behind it is part of the page's address. */
  readonly hash?: string;
}

/** Starts the tag, once, in a browser; on a server it does nothing. May be called when the page is shown. */
export function init({ site, endpoint, use, debug, hash, consent, consentDecide, consentMeasure, consentVersion, layer }: Options): void {
  if (typeof window === 'undefined' || window.beckon?.decision) return;
  void start({
    dataset: {
      site,
      ...(use?.length ? { use: use.join(' ') } : {}),
      ...(consent ? { consent } : {}),
      ...(consentDecide ? { consentDecide } : {}),
      ...(consentMeasure ? { consentMeasure } : {}),
      ...(consentVersion ? { consentVersion } : {}),
      ...(layer ? { layer } : {}),
      ...(debug ? { debug: '' } : {}),
      ...(hash ? { hash } : {}),
    },
    src: new URL(endpoint.replace(/\/*$/, '/'), document.baseURI).href, // parts are not looked for where a bundler puts this
  });
}

const call = (...given: unknown[]): void => {
  if (typeof window === 'undefined') return;
  window.beckon ??= Object.assign((...early: unknown[]) => window.beckon!.q.push(early), { q: [] }) as unknown as Beckon;
  (window.beckon as (...given: unknown[]) => void)(...given);
};

/** The answer on a server, where there is no visitor yet. */
const nobody = { eligible: false, reason: 'ERROR' } as Decision;

/** As the global `beckon`, and before `init` too: what is called early is done when it has started. */
export const beckon: Calls = Object.assign(call, {
  consent: (choice: Consent): void => call('consent', choice),
  decision: (): Promise<Decision> =>
    new Promise((resolve) =>
      typeof window === 'undefined' ? resolve(nobody) : call('decision', resolve),
    ),
}) as Calls;
