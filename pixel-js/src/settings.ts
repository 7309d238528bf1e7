/**
 * How a page sets the tag up: the attributes of its script element, `data-site` as `site`, or what
 * `init` was given. Those that the core does not know are for the parts.
 */
export interface Settings {
  /** The site's id in `sites.yaml`. */
  readonly site?: string;
  /** Prefix of the collector and of the decision service, without a slash at the end; by default the folder of the script. */
  readonly endpoint?: string;
  /** Where a router's path begins, such as `/#/` or `/#!/`: what is behind it is part of the page's address. */
  readonly hash?: string;
  readonly [part: string]: string | undefined;
}

declare global {
  interface Document {
    /** True while the browser renders the page ahead of time, for nobody yet. */
    readonly prerendering?: boolean;
  }
}
