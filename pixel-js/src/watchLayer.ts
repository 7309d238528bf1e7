import type { Core } from './core';
import { whenThere } from './whenThere';

/** What a page pushes: the arguments of `gtag()`, or an object for Google Tag Manager. */
export type Entry = ArrayLike<unknown> & Record<string, unknown>;

/**
 * Calls `take` once with each entry of the page's data layer: those that are there, then each one that is
 * pushed. Tag Manager puts a `push` of its own over the one it finds, before or after us, and calls that one;
 * so do we.
 */
export function watchLayer(core: Core, take: (entry: Entry) => void): void {
  const name = core.data['layer'] || 'dataLayer';
  const quiet = core.guard((entry: unknown) => {
    if (entry && typeof entry === 'object') take(entry as Entry);
  });
  const find = (): unknown[] | undefined => {
    const layer = (window as unknown as Record<string, unknown>)[name];
    return Array.isArray(layer) ? layer : undefined;
  };
  whenThere(core, find, (layer) => {
    const push = layer.push;
    const seen = [...layer];
    layer.push = function (...entries) {
      const length = push.apply(this, entries);
      entries.forEach(quiet);
      return length;
    };
    seen.forEach(quiet);
  });
}
