import type { Core, Part, Parts } from '../core';
import { guard } from '../guard';
import type { Decision } from '../wire';

let again: (() => Promise<unknown>) | undefined;

/**
 * Loads the other parts: those that the tag's attributes name, and those that the page's elements ask
 * for. The core calls this on each page that has any, before each request. The promise holds the request
 * until all are there and `data-consent` has had its first word.
 */
export default ((...given) => (again ??= open(...given))()) satisfies Parts;

function open(...[beckon, data, endpoint, tell, now]: Parameters<Parts>): () => Promise<unknown> {
  const loaded = new Map<string, Promise<unknown>>();
  const choose = beckon.consent;
  let ready!: () => void;
  const word = new Promise<void>((resolve) => (ready = resolve));
  let last: Decision | undefined;
  let denied = false;
  const consent: Core['consent'] = (choice) => {
    denied = choice?.decide !== true;
    if (denied && last?.personalised) {
      announce({ eligible: false, offer: null, reason: 'NO_CONSENT' }); // before the network knows
    }
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
    // Until a reply names it, what the tab remembers of offers tells it: no other lane keeps anything.
    lane: () => now()[0] ?? (denied ? null : remembered()),
    queue: () => now()[1],
    guard: (run) => guard(core, run),
    listen: (target, type, run) => target.addEventListener(type, guard(core, run), true),
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

  core.listen(document, 'beckon:decision', (event) => {
    const { detail } = event as CustomEvent<Decision>;
    if (detail.reason !== 'ERROR') last = detail; // what was offered before it stands
  });
  if (!window.navigation) watchHistory(core);
  core.listen(document, 'DOMContentLoaded', () => void scan());
  return scan;
}

function remembered(): string | null {
  try {
    return sessionStorage['_bk.offer'] ? 'decide' : null;
  } catch {
    return null; // blocked
  }
}

function announce(detail: Decision): void {
  document.dispatchEvent(new CustomEvent('beckon:decision', { detail }));
}

/**
 * For browsers without the Navigation API: says what that would say, at the window, where the core listens then; after
 * each call of a history method, and on back and forward.
 */
function watchHistory({ listen }: Core): void {
  const look = (): unknown => window.dispatchEvent(new Event('currententrychange'));
  for (const method of ['pushState', 'replaceState'] as const) {
    const original = history[method];
    history[method] = function (this: History, ...args) {
      original.apply(this, args);
      look();
    };
  }
  listen(window, 'popstate', look);
  look(); // what happened while this was on its way
}
