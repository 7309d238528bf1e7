import type { Core, Part, Parts } from '../core';
import { guard } from '../guard';

let again: (() => Promise<unknown>) | undefined;

/**
 * Loads the other parts: those that the tag's attributes name, and those that the page's elements ask
 * for. The core calls this on each page that has any, whenever it looks around. The promise holds the
 * first request until all are there and `data-consent` has had its first word.
 */
export default ((...given) => (again ??= open(...given))()) satisfies Parts;

function open(...[beckon, data, endpoint, tell, look, listen, lane, queue]: Parameters<Parts>): () => Promise<unknown> {
  const loaded = new Map<string, Promise<unknown>>();
  const choose = beckon.consent;
  let ready!: () => void;
  const word = new Promise<void>((resolve) => (ready = resolve));
  const consent: Core['consent'] = (choice) => {
    choose(choice);
    ready();
  };
  Object.assign(beckon, { consent });

  const core: Core = {
    site: data.site ?? '',
    endpoint,
    data,
    tell,
    decision: () => beckon.decision(),
    consent,
    ready,
    lane,
    queue,
    guard: (run) => guard(core, run),
    listen,
    calls: beckon,
    get debug() {
      return beckon.debug;
    },
    set debug(words) {
      Object.assign(beckon, { debug: words });
    },
  };

  /** A part has the release of this one in its name. */
  const load = (name: string): Promise<unknown> => {
    const part =
      loaded.get(name) ??
      import(import.meta.url.replace('b.parts.', `b.${name}.`))
        .then((part: { default: Part }) => part.default(core))
        .catch((fault) => beckon.debug(fault));
    loaded.set(name, part);
    return part;
  };

  const scan = async (): Promise<unknown> => {
    if (data['debug'] != null) await load('debug'); // it is to hear of the others
    const names = (data['use'] ?? '').split(' ').filter(Boolean);
    for (const name of ['offer', 'event']) {
      if (document.querySelector(`[data-beckon-${name}]`)) names.push(name);
    }
    if (names.includes('offer')) names.push('refresh'); // a slot follows what the visitor does
    const waiting = names.map(load);
    if (data['consent']) waiting.push(load(`consent-${data['consent']}`), word);
    return Promise.all(waiting);
  };

  if (!window.navigation) watchHistory(guard(core, look), listen);
  listen(document, 'DOMContentLoaded', () => void scan());
  return scan;
}

/** For browsers without the Navigation API: `look` after each call of a history method, and on back and forward. */
function watchHistory(look: (event: object) => void, listen: Core['listen']): void {
  for (const method of ['pushState', 'replaceState'] as const) {
    const original = history[method];
    history[method] = function (this: History, ...args) {
      original.apply(this, args);
      look({});
    };
  }
  listen(window, 'popstate', () => look({}));
  look({}); // what happened while this was on its way
}
