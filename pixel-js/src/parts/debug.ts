import type { Core } from '../core';

/** Says on the console that the tag is at work, and for whom. */
export default function debug({ site, endpoint, debug: say }: Core): void {
  say(`site ${site}, endpoint ${endpoint || '/'}`);
}
