/**
 * The tag: tells the collector what happens on this page and asks for the visitor's discount. It
 * never gets in the shop's way. This file is the drawing; each part is a file named after its idea.
 */
import { address } from './address';
import type { Consent } from './api';
import { decide as decision, withdraw } from './decider';
import { json } from './json';
import { listen, quietly } from './quietly';
import { add, choose, lane, leave, putAside, queue, send, takeBack } from './sender';
import { endpoint, settings, site } from './settings';
import { uuidv7 } from './uuid';
import { wait } from './wait';
import type { Decision, Kind, Props } from './wire';

/** Names the parts that belong to this core; the build puts it in. */
declare const RELEASE: string;

const enum Within {
  parts = 1_000, // ms that the first request waits for parts, and for the choice that one of them reads
}

let landing: string;
let seen: string;
let parts: Promise<unknown> | undefined;

/** Tells what happened, as it is now: the page may change its objects afterwards. */
const tell = (n: Kind, p?: Props, r?: string): void => {
  const t = Date.now();
  add(JSON.parse(json([{ n, i: uuidv7(t), t, u: address(), r, p }])));
};

/**
 * A view of the page that has taken the place of the one that was there, when path or query really
 * changed, for routers replace the state for many other reasons; or when the browser has brought it back.
 */
const look = ({ persisted }: { readonly persisted?: boolean }): void => {
  if (persisted || seen != (seen = address())) tell('page_view');
};

/**
 * Loads what sees to all that the core does not know: the parts. `import()` takes the page's nonce along
 * and is no sink of Trusted Types, so a page's policy needs nothing more than the tag itself does.
 */
const load = (): void => {
  parts = wait(
    Within.parts,
    quietly(async () =>
      (await import(/* webpackIgnore: true */ /* @vite-ignore */ `${endpoint}/b.parts.${RELEASE}.js`)).default(
        beckon, settings, endpoint, tell, look, listen, () => lane, () => queue,
      ),
    )(),
  );
};

/** Loads them where an element asks for one. */
const loadForElements = (): void => {
  if (document.querySelector('[data-beckon-offer],[data-beckon-event]')) load();
};

/** The one global: a name is a method of it, or what happened. */
export const beckon: any = quietly((name: string, detail: unknown) =>
  beckon[name] ? beckon[name](detail) : tell(name as Kind, detail as Props),
);
const call = quietly((call: never) => beckon.apply(0, call));

export const start = quietly(async () => {
  const early = window.beckon?.q as never[] | undefined;
  const opened = new Promise<unknown>((open) =>
    document.prerendering ? listen(document, 'prerenderingchange', open) : open(0),
  );
  landing = seen = address();
  window.beckon = Object.assign(beckon, {
    debug() {},
    decision: (use?: (decision: Decision) => void) => {
      const answer = decision(opened);
      answer.then(quietly((decision) => use?.(decision)));
      return answer;
    },
    consent: quietly(({ decide, measure, src, ver, at = Date.now() }: Consent) => {
      if (decide !== true) withdraw();
      choose(JSON.parse(json({ decide: decide === true, measure: measure === true, src, ver, at, u: landing, r: document.referrer })));
    }),
    q: { push: call }, // for a page that kept the stub
  });
  listen(window, 'pageshow', (event: PageTransitionEvent) => {
    loadForElements();
    if (event.persisted) {
      takeBack();
      look(event);
    }
  });
  listen(document, 'visibilitychange', () => document.hidden && leave());
  listen(window, 'pagehide', () => {
    leave();
    putAside();
  });
  if (Object.keys({ site, endpoint, ...settings })[2]) load();
  takeBack();
  await opened;
  tell('page_view', undefined, document.referrer);
  early?.forEach(call as never);
  window.navigation ? listen(window.navigation, 'currententrychange', look) : load();
  await parts;
  await send(loadForElements);
});
