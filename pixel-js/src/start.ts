/**
 * The tag's core: tells the collector what happens on this page and asks for the visitor's discount,
 * and never gets in the shop's way. What some pages need besides is in parts/, loaded where it is asked for.
 *
 * It is one file because it is one state, and because every page of every shop pays for its bytes.
 *
 * An event leaves the queue when a reply has accepted or refused it, not before; by its id the collector
 * knows it again when it comes twice. The queue always fits one request, and there is one at a time:
 * nothing follows the first one until its reply has set the cookie, and a slow network gets fewer,
 * fuller batches. When the queue is full the oldest event goes: what a visitor does last, such as to
 * buy, is worth most.
 *
 * What stands in which order here, functions and keys, is by what compresses best; docs/adr/0030.
 */
import type { Consent } from './api';
import type { Settings } from './settings';
import type { Choice, Decision, Kind, Props, ShopEvent } from './wire';

/** Names the parts that belong to this core; the build puts it in. */
declare const RELEASE: string;

/** Milliseconds. */
const enum Within {
  gather = 250, // one request for all that a click sets off, still fresh for the next decision
  parts = 1_000, // that the first request waits for parts, and for the choice that one of them reads
  decision = 2_000,
  reply = 9_000,
  glance = 50, // at what a decision waits for, and at whether somebody sees the page
}

/** How often to look, before going on as if it were so. */
const enum Tries {
  cookie = 20, // for a second: after that an older one may still do
  load = 20, // for five: so long the page has itself alone
}

const enum Most {
  bytes = 512, // of an address, which is ASCII, as the collector takes
  events = 100, // as the collector takes in one batch
  units = 20_000, // of UTF-16; one is at most three bytes, and browsers carry 64 KiB for a page that is gone
}

let gone: unknown; // nobody sees the page, or it has been left: what it still tells goes out at once, or never
let told: Choice | 0 | undefined = 0; // the choice that the collector knows: at first not even that there is none
let asking: Promise<Decision> | null | undefined;
let site: string | undefined;
let choice: Choice | undefined;
let wake: (() => void) | undefined; // there is something to send

let lane: string | null | undefined; // of the last reply. Nothing is kept in the browser but in `decide`
let queue: readonly ShopEvent[] = [];
let settings: Settings;
let seen: string; // the address of the last page view
let left: unknown; // the queue that a beacon has carried
let landing: string; // and that of the first
let endpoint: string; // without a slash at the end

/**
 * The same function, except that it never throws nor rejects: a fault of ours must not stop the shop's
 * own code. It runs at once, up to its first `await`.
 */
const quietly =
  <A, B, R>(run: (a: A, b: B) => R) =>
  (a?: A, b?: B): Promise<Awaited<R> | undefined> =>
    (async () => run(a as A, b as B))().catch((fault) => void beckon.debug(fault)) as never;

/** The one global: a name is a method of it, or what happened. */
const beckon: any = quietly((name: string, detail: unknown) =>
  beckon[name] ? beckon[name](detail) : tell(name as Kind, detail as Props),
);

/** Resolves as the promise does, to its fault when it fails, or to nothing after that time: what hangs must not hang us. */
const wait = <T>(milliseconds: number, promise?: Promise<T>): Promise<T | undefined> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
    void promise?.then(resolve, resolve);
  });

/**
 * Asks one of the services, or posts to it, in a request that outlives the page; nothing when there was
 * no answer. A string travels as text/plain, which needs no preflight. Without a prototype, because
 * options are read from there too, and a page may have put anything on it.
 */
const request = quietly((path: string, body?: string) =>
  fetch(endpoint + path, {
    __proto__: null,
    body,
    keepalive: true,
    credentials: 'include',
    method: body && 'POST',
  } as RequestInit),
);

/** Makes a call that came before this was here, or from a page that kept the stub. */
const push = quietly((call: never) => beckon(...(call as never[])));

/** Listens ahead of the page's own listeners; what happens to the document passes the window first. */
const listen = (type: string, run: (event: never) => void, target: EventTarget = window): void =>
  target.addEventListener(type, quietly(run) as unknown as EventListener, true);

const idle = (): boolean => !queue[0] && told == choice;

/**
 * JSON of what the value itself says. A page's prototypes may have a `toJSON`; the replacer goes by
 * what was there before it was asked.
 */
const json = (value: unknown): string =>
  JSON.stringify(value, function (this: Record<string, unknown>, key) {
    return this[key];
  });

const body = (): string =>
  json({ c: choice, v: 1, z: Date.now(), s: site, e: queue, w: navigator.webdriver });

/** A view when path or query really changed: routers replace the state for many other reasons. */
const look = (): void => {
  if (seen != (seen = address())) tell('page_view');
};

/** Sends what is there and what comes, one request after the other, until the end of the page. */
const send = async (): Promise<never> => {
  for (let failures = 0; ; ) {
    load();
    if (idle()) await new Promise<void>((resolve) => (wake = resolve));
    if (told == choice) await wait(Within.gather);
    const sent = queue;
    const mine = choice;
    const reply = await wait(Within.reply, request('/e', body()));
    const named = reply?.headers.get('Beckon-Lane'); // the collector took it; whoever else says 200 did not
    if (named || /^4(?!29)/.test(reply?.status as never)) {
      failures = 0;
      queue = queue.filter((event) => !sent.includes(event));
      told = mine;
      if (told == choice) lane = named;
    } else {
      left = null; // a beacon has probably fared no better
      // 1 s, 2 s, 4 s ... beyond what was asked for, and up to as much again by chance: the
      // visitors of a shop are not to come back in one moment.
      await wait(1_000 * (1 + Math.random()) * (2 ** failures++ + ((reply?.headers.get('Retry-After') as never) | 0)));
    }
  }
};

/** Sends all that is not answered yet, even if it is on its way, once: one sign of leaving follows another. */
const leave = (): void => {
  if (gone && !idle() && left != (left = queue)) navigator.sendBeacon?.(endpoint + '/e', body()) || request('/e', body());
};

/** Puts events behind those that are there. They are ours alone, whatever the page does with its objects. */
const add = (events: readonly ShopEvent[]): void => {
  queue = queue.concat(events);
  while (queue[Most.events] || json(queue)[Most.units]) queue = queue.slice(1);
  leave();
  wake?.();
};

/**
 * Loads what sees to all that the core does not know, where something asks for it: the parts. `import()`
 * takes the page's nonce along and is no sink of Trusted Types, so a page's policy needs nothing more
 * than the tag itself does.
 */
const load = async (): Promise<unknown> =>
  (
    Object.keys(settings)[1] || !window.navigation ||
    document.querySelector('[data-beckon-offer],[data-beckon-event]')
  ) &&
    wait(
      Within.parts,
      import(/* webpackIgnore: true */ /* @vite-ignore */ `${endpoint}/b.parts.${RELEASE}.js`).then((all) =>
        all.default(beckon, settings, endpoint, tell, () => [lane, queue]),
      ),
    );

/**
 * Tells what happened, as it is now: the page may change its objects afterwards. The id is a UUIDv7
 * (RFC 9562): 48 bits of time in milliseconds, eleven digits until the year 2527, then chance: the end of
 * the random UUID that each browser puts into the address of a blob, also on plain http, where there is
 * no `crypto.randomUUID`.
 */
const tell = (n: Kind, p?: Props, r?: string): void => {
  const t = Date.now();
  const i = t.toString(16).replace(/.{7}/, '0$&-') + '-7' + URL.createObjectURL(new Blob()).slice(-21);
  add(JSON.parse(json([{ r, n, u: address(), t, i, p }])));
};

/**
 * The page, without its fragment: that part is the page's own business and may hold secrets. With
 * `data-hash` a router's path behind `/#/` counts as path, and any other fragment is none.
 */
const address = (): string =>
  location.href.replace(settings.hash || ' ', '/').split('#')[0]!.slice(0, Most.bytes);

/**
 * Takes what an earlier page in this tab has kept. It is here or there, never in both, so that a page
 * which comes back and a tab that is copied send nothing twice. That there is something, if only an
 * empty list, tells the lane.
 */
const takeBack = quietly(() => {
  const kept = sessionStorage['_bk_' + site];
  if (kept) {
    delete sessionStorage['_bk_' + site];
    lane = 'decide';
    add(JSON.parse(kept));
  }
});

export const start = quietly(async ({ dataset, src }: { readonly dataset: Settings; readonly src: string }) => {
  const early = window.beckon?.q as never[] | undefined;
  settings = { __proto__: null, ...dataset } as never; // a page may have put anything on a prototype
  site = settings.site;
  // `/px/b.js` is in `/px`
  endpoint = settings.endpoint ?? src.replace(/.[^/]*$/, '');
  landing = seen = address();

  beckon.q = { push };

  beckon.debug = idle; // hears of faults, to no effect, until the part `debug` puts its own words here

  /** The choice goes with everything sent from now on, and is told at once, with the page that the visitor came to. */
  beckon.consent = quietly(({ at = Date.now(), decide, src, ver, measure }: Consent) => {
    choice = JSON.parse(json({ at, decide: decide === true, src, ver, measure: measure === true, r: document.referrer, u: landing }));
    takeBack(); // what is kept goes under the new choice, too
    left = lane = asking = null; // and not 0, which equals an empty list
    wake?.();
  });

  /** Calls that overlap share one answer, and there always is one. It is of the choice that stands when it comes. */
  beckon.decision = (use: unknown) => {
    asking ||= (async () => {
      for (let tries = Tries.cookie; document.prerendering || (told != choice && tries--); ) await wait(Within.glance);
      const mine = choice;
      const answer = await wait(
        Within.decision,
        request(`/v1/decision?site=${site}&w=${navigator.webdriver}`).then((reply) => reply!.ok && reply!.json()),
      );
      const detail: Decision = { eligible: false, reason: 'ERROR', ...(mine == choice && answer) };
      asking = null;
      document.dispatchEvent(new CustomEvent('beckon:decision', { detail }));
      return detail;
    })();
    asking.then(quietly(use as never));
    return asking;
  };

  window.beckon = beckon;

  while (document.prerendering) await wait(Within.glance);

  listen('pageshow', ({ persisted }: PageTransitionEvent) => {
    if (persisted) {
      takeBack();
      tell('page_view');
    }
  });
  listen('pagehide', () => {
    gone = 1;
    takeBack();
    leave();
    if (lane?.includes('decide')) {
      sessionStorage['_bk_' + site] = json(queue);
      queue = [];
    }
  });
  listen('visibilitychange', () => {
    gone = document.hidden;
    leave();
  });

  tell('page_view', undefined, document.referrer);
  early?.map(push);
  listen('currententrychange', look, window.navigation);
  await load();
  for (let tries = Tries.load; document.readyState != 'complete' && tries--; ) await wait(Within.gather);
  takeBack();
  await send();
});
