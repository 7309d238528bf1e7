import { settings } from './settings';

const enum Most {
  bytes = 512, // as the collector takes; an address is ASCII
}

/**
 * The page, without its fragment: that part is the page's own business and may hold secrets. With
 * `data-hash` a router's path behind `/#/` counts as path, and any other fragment is none.
 */
export const address = (): string =>
  (settings.hash == null ? location.href : location.href.replace('/#/', '/')).split('#')[0]!.slice(0, Most.bytes);
