import type { Core } from '../core';
import type { Kind } from '../wire';

const names = ['quantity', 'price', 'cart_value', 'product', 'variant', 'category', 'currency', 'query'];
const numbers = 3; // are the first of them
const attribute = (name: string): string => `data-beckon-${name}`;

/**
 * Events without code: `data-beckon-event` says what, `data-beckon-on` when, attributes on and around it the rest.
 *
 * A page may show what its visitors wrote, and who cleans that may let such attributes through. So an order is told by a
 * `<meta>` alone, which nobody lets through, as JSON; and what stands within `data-beckon-ignore` tells nothing.
 */
export default function event({ debug, guard, listen, tell }: Core): void {
  let seen = new WeakMap<Element, string>(); // views, with what was told of them
  let told: Set<string>; // views at this address: a framework may make their elements anew
  let here = '';

  /** Tells what this element says; of a view, if it is news. */
  const hear = (at: HTMLElement, view?: 1): void => {
    if (at.closest('[data-beckon-ignore],[data-beckon-event=purchase]:not(meta)')) return debug('ignored', at);
    const kind = at.dataset['beckonEvent'] as Kind;
    // No other element's "content" is ours: a form may have a field of that name. What is no object names no prop of ours.
    const props = { ...JSON.parse(at.closest('meta')?.content || '{}') };
    names.forEach((name, i) => {
      let text = at.closest(`[${attribute(name)}]`)?.getAttribute(attribute(name));
      const field = text?.split('field:')[1];
      // A form may have a field called "elements", which then is what its form calls so.
      if (field) text = (at.closest('form')?.elements.namedItem?.(field) as HTMLInputElement | null)?.value;
      text &&= text.trim();
      if (!text) return;
      if (name === 'query') props['query_length'] = text.length; // the words stay here
      else props[name] ??= i < numbers ? +text : text;
    });
    if (view) {
      const says = kind + JSON.stringify(props);
      const old = seen.get(at) === says || told.has(says);
      seen.set(at, says);
      told.add(says);
      if (old) return;
    }
    tell(kind, props);
  };

  const look = (): void => {
    if (here !== (here = location.href)) told = new Set();
    document.querySelectorAll<HTMLElement>('[data-beckon-on=view]').forEach(guard((at) => hear(at, 1)));
  };

  const act = (which: string) => ({ target }: Event): void => {
    const at = (target as Element).closest<HTMLElement>(which + '[data-beckon-event]:not([data-beckon-on=view])');
    if (at) hear(at);
  };

  listen(document, 'click', act(':not(form)'));
  listen(document, 'submit', act('form'));
  listen(window, 'pageshow', (event) => {
    if ((event as PageTransitionEvent).persisted) {
      seen = new WeakMap();
      here = '';
      look();
    }
  });
  new MutationObserver(guard(look)).observe(document, { childList: true, subtree: true, attributeFilter: names.map(attribute) });
  look();
}
