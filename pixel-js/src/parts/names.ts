import type { Core } from '../core';
import { fromGa4 } from '../ga4';
import { ga4, shopify } from '../names';
import type { Kind, Props } from '../wire';

/** Props of ours that GA4 has no word for, or another one: who uses one of them has written to us, not to GA4. */
const ours = ['product', 'category', 'cart_value', 'order', 'query_length', 'offer'];

/** Of props with a name that is GA4's and ours, these say that they are GA4's; so do those of an item. */
const theirs = ['transaction_id', 'search_term', 'item_id', 'item_name'];

/**
 * Takes calls of `beckon()` by GA4's and Shopify's names of events, with our props or with GA4's. What was
 * called before this was here waits in the queue under its own name, and gets ours.
 */
export default function names({ calls, queue, tell }: Core): void {
  const has = (names: string[], fields: unknown): boolean => names.some((name) => name in Object(fields));

  const mean = (name: string, detail: unknown): [Kind, Props][] => {
    const kind = shopify[name] ?? ga4[name]!;
    const fields: Record<string, unknown> = { ...(detail as object) };
    const marked = ga4[name] !== name || [fields, ...[fields['items']].flat()].some((at) => has(theirs, at));
    if (name in ga4 && marked && !has(ours, fields)) {
      return fromGa4(name, fields).map(([, props]) => [kind, props as Props]);
    }
    delete fields['search_term']; // the words stay here
    return [[kind, fields]];
  };
  for (const name of Object.keys({ ...ga4, ...shopify })) {
    if (name === 'page_view') continue; // it says the same to both, and is the core's to take
    calls[name] = (detail: never) => mean(name, detail).forEach(([kind, props]) => tell(kind, props));
    for (const event of queue().filter(({ n }) => (n as string) === name)) {
      const [first, ...more] = mean(name, event.p);
      if (first) Object.assign(event, { n: first[0], p: first[1] });
      more.forEach(([kind, props]) => tell(kind, props));
    }
  }
}
