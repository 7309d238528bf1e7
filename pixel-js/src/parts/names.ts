import type { Core } from '../core';
import { fromGa4 } from '../ga4';
import { ga4, shopify } from '../names';
import type { Props } from '../wire';

/** Props of ours that GA4 has no word for, or another one: who uses one of them has written to us, not to GA4. */
const ours = ['product', 'category', 'cart_value', 'order', 'query_length', 'offer'];

/** Takes calls of `beckon()` by GA4's and Shopify's names of events, with our props or with GA4's. */
export default function names(core: Core): void {
  core.unknown = (name, detail) => {
    const kind = shopify[name] ?? ga4[name];
    const fields = { ...(detail as object) };
    if (typeof kind !== 'string') return core.debug(`no event is called ${name}`);
    if (name in ga4 && !ours.some((prop) => prop in fields)) {
      for (const [, props] of fromGa4(name, fields)) core.tell(kind, props as Props);
    } else {
      core.tell(kind, fields);
    }
  };
}
