import { settings } from './settings';

const enum Most {
  bytes = 512, // as the collector takes; an address is ASCII
}

/**
 * The page, without its fragment: that part is the page's own business and may hold secrets. With
 * `data-hash` a router's path behind `/#` counts as path.
 */
export const address = (): string =>
  (settings.hash == null ? location.href.split('#')[0]! : location.href.replace('/#/', '/')).slice(0, Most.bytes);
