/**
 * How a page sets the tag up: the attributes of its script element, `data-site` as `site`, or what
 * `init` was given. Those that the core does not know are for the parts.
 */
export interface Settings {
  /** The site's id in `sites.yaml`. */
  readonly site?: string;
  /** Prefix of the collector and of the decision service; by default the folder of the script. */
  readonly endpoint?: string;
  /** Any value: what a router keeps behind `/#` is part of the page's address. */
  readonly hash?: string;
  readonly [part: string]: string | undefined;
}

export let settings: Settings;
export let site: string | undefined;
/** Without a slash at the end. */
export let endpoint: string;

/** `/px/b.js` is in `/px`; so is `/px/`. */
export function configure(given: Settings, script: string): void {
  settings = given;
  site = given.site;
  endpoint = (given.endpoint ? `${given.endpoint}/` : script).replace(/\/+[^/]*$/, '');
}

declare global {
  interface Document {
    /** True while the browser renders the page ahead of time, for nobody yet. */
    readonly prerendering?: boolean;
  }
}
