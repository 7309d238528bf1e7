import type { Core, Part } from './core';
import { data, debug, endpoint } from './tag';

/** Names the parts that belong to this core; the build puts it in. */
declare const RELEASE: string;

/**
 * Returns the function that loads a part, once. `import()` takes the page's nonce along and is no
 * sink of Trusted Types, so a page's policy needs nothing more than the tag itself does.
 */
export function partsOf(core: Core): (name: string) => void {
  const asked = new Set<string>();
  return (name) => {
    if (asked.has(name)) return;
    asked.add(name);
    import(`${endpoint}/b.${name}.${RELEASE}.js`)
      .then((part: { default: Part }) => part.default(core))
      .catch(debug);
  };
}

/** The parts that this page needs, as far as its elements tell by now. */
export function wanted(): string[] {
  const names = data['use']?.split(' ') ?? [];
  if (data['consent']) names.push(`consent-${data['consent']}`);
  if ('debug' in data) names.push('debug');
  for (const name of ['offer', 'event']) {
    if (document.querySelector(`[data-beckon-${name}]`)) names.push(name);
  }
  return names.filter(Boolean);
}
