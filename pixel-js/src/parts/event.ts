import type { Core } from '../core';
import type { Kind, Props } from '../wire';

const texts = ['product', 'variant', 'category', 'currency', 'order', 'coupon', 'query'];
const names = [...texts, 'quantity', 'price', 'cart_value', 'value', 'discount', 'tax', 'shipping', 'items'];
const attribute = (name: string): string => `data-beckon-${name}`;

/** Events without code: `data-beckon-event` says what, `data-beckon-on` when, attributes on and around it the rest. */
export default function event({ debug, guard, listen, tell }: Core): void {
  let seen = new WeakMap<Element, string>(); // views, with what was told of them
  let told = new Set<string>(); // views at this address: a framework may make their elements anew
  let here = '';

  const propsOf = (at: Element): Props => {
    const props: Record<string, unknown> = {};
    for (const name of names) {
      try {
        let text = at.closest(`[${attribute(name)}]`)?.getAttribute(attribute(name));
        const field = text?.split('field:')[1];
        if (field) text = (at.closest('form')?.elements.namedItem(field) as HTMLInputElement | null)?.value;
        if (text && name === 'query') props['query_length'] = text.length; // the words stay here
        else if (text) props[name] = texts.includes(name) ? text : JSON.parse(text);
      } catch (fault) {
        debug(`${attribute(name)} says nothing:`, fault); // no number, or a field called "elements" is in the way
      }
    }
    return props;
  };

  const look = (): void => {
    if (here !== (here = location.href)) told = new Set();
    for (const at of document.querySelectorAll<HTMLElement>('[data-beckon-on=view]')) {
      const kind = at.dataset['beckonEvent'] as Kind;
      const props = propsOf(at);
      const view = kind + JSON.stringify(props);
      if (seen.get(at) !== view && !told.has(view)) tell(kind, props);
      seen.set(at, view);
      told.add(view);
    }
  };

  const act = ({ target, type }: Event): void => {
    const at = (target as Element).closest<HTMLElement>('[data-beckon-event]');
    if (at && (at.dataset['beckonOn'] ?? (at.matches('form') ? 'submit' : 'click')) === type) {
      tell(at.dataset['beckonEvent'] as Kind, propsOf(at));
    }
  };

  listen(document, 'click', act);
  listen(document, 'submit', act);
  listen(window, 'pageshow', (event) => {
    if ((event as PageTransitionEvent).persisted) {
      seen = new WeakMap();
      told = new Set();
      look();
    }
  });
  new MutationObserver(guard(look)).observe(document, { childList: true, subtree: true, attributeFilter: names.map(attribute) });
  look();
}
