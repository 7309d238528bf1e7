import type { Core } from '../core';
import { fromGa4 } from '../ga4';
import { watchLayer } from '../watchLayer';
import type { Props } from '../wire';

/**
 * Tells what a shop tells GA4 anyway: by `gtag('event', ...)`, or in the form for Tag Manager, where the
 * `ecommerce` of an event may have been pushed before it and stands until it is reset by a null. Each entry
 * is read once, also those from before the tag.
 */
export default function ga4(core: Core): void {
  let stands: unknown;
  watchLayer(core, (entry) => {
    const gtag = entry[0] === 'event';
    if ('ecommerce' in entry) stands = entry['ecommerce'];
    const name = gtag ? entry[1] : entry['event'];
    const fields = gtag ? entry[2] : (stands ?? {});
    if (typeof name !== 'string' || !fields || typeof fields !== 'object') return;
    for (const [kind, props] of fromGa4(name, { ...entry, ...fields })) core.tell(kind, props as Props);
  });
}
