import type { Core } from '../core';
import { fromGa4 } from '../ga4';
import { ga4, shopify } from '../names';
import type { Kind, Props } from '../wire';

/** Props of ours that GA4 has no word for, or another one: who uses one of them has written to us, not to GA4. */
const ours = ['product', 'category', 'cart_value', 'order', 'query_length', 'offer'];

/**
 * Takes calls of `beckon()` by GA4's and Shopify's names of events, with our props or with GA4's. What was
 * called before this was here waits in the queue under its own name, and gets ours.
 */
export default function names({ calls, queue, tell }: Core): void {
  const mean = (name: string, detail: unknown): [Kind, Props][] => {
    const kind = shopify[name] ?? ga4[name]!;
    const fields = { ...(detail as object) };
    if (name in ga4 && !ours.some((prop) => prop in fields)) {
      return fromGa4(name, fields).map(([, props]) => [kind, props as Props]);
    }
    return [[kind, fields]];
  };
  for (const name of Object.keys({ ...ga4, ...shopify })) {
    if (ga4[name] === name) continue; // it is ours as well, and the core's to take
    calls[name] = (detail: never) => mean(name, detail).forEach(([kind, props]) => tell(kind, props));
    for (const event of queue().filter(({ n }) => (n as string) === name)) {
      const [first, ...more] = mean(name, event.p);
      if (first) Object.assign(event, { n: first[0], p: first[1] });
      more.forEach(([kind, props]) => tell(kind, props));
    }
  }
}
