import { readFileSync } from 'node:fs';
import { JSDOM, ResourceLoader, VirtualConsole, type DOMWindow } from 'jsdom';
import type { Beckon } from '../src/api';
import type { Batch } from '../src/wire';
import { Clock, settled } from './clock';

export const stub =
  '<script>window.beckon=window.beckon||function(){(beckon.q=beckon.q||[]).push(arguments)}</script>';

/** One request of the tag, waiting for the test to answer it. */
export interface Sent {
  readonly url: string;
  readonly method: string;
  readonly transport: 'fetch' | 'beacon';
  readonly contentType: string | null;
  readonly body: string;
  readonly init: RequestInit;
  readonly at: number;
  /** The body, read as a batch. */
  readonly batch: Batch;
  /** A string is the body itself, anything else is sent as JSON. */
  answer(status?: number, json?: unknown, headers?: Record<string, string>): Promise<void>;
  fail(): Promise<void>;
}

interface Options {
  url?: string;
  referrer?: string;
  /** Markup before the tag. */
  html?: string;
  attributes?: Record<string, string>;
  src?: string;
  prerendering?: boolean;
  /** True: the page has not loaded all that it needs. */
  loading?: boolean;
  /** False: the browser refuses a beacon, as when its quota is used up. Undefined: it has no beacons. */
  beacon?: boolean | undefined;
  /** What happens to a part on its way: it waits for this, and does not come when it rejects. */
  parts?: (url: string) => Promise<void> | void;
  /** Changes the window before any script runs. */
  prepare?: (window: DOMWindow) => void;
}

/**
 * A shop's page in a DOM of its own, with the built tag on it. Only time, chance and the network are
 * ours: the script is the very file that would be served.
 */
export class Page {
  readonly clock = new Clock();
  readonly sent: Sent[] = [];
  readonly events: { type: string; detail: unknown }[] = [];
  readonly errors: unknown[] = [];
  readonly words: unknown[][] = [];
  /** The addresses of all parts that were asked for. */
  readonly imported: string[] = [];
  readonly window: DOMWindow;
  #options: Options;
  #modules = new Map<string, Promise<unknown>>();
  #visibility = 'visible';
  #prerendering: boolean;
  #readyState: string;

  constructor(options: Options = {}) {
    this.#options = { beacon: true, ...options };
    this.#prerendering = options.prerendering ?? false;
    this.#readyState = options.loading ? 'interactive' : 'complete';
    const virtualConsole = new VirtualConsole();
    virtualConsole.on('jsdomError', (error) => this.errors.push(error));
    virtualConsole.on('info', (...words: unknown[]) => this.words.push(words));
    this.window = new JSDOM(`<!doctype html><head></head><body>${options.html ?? ''}</body>`, {
      url: options.url ?? 'https://shop.example/',
      ...(options.referrer ? { referrer: options.referrer } : {}),
      runScripts: 'dangerously',
      resources: new BuiltTag(),
      virtualConsole,
      beforeParse: (window) => this.#prepare(window),
    }).window;
  }

  /** Opens a page and waits until the tag on it has run. */
  static async open(options: Options = {}): Promise<Page> {
    const page = new Page(options);
    await page.load();
    return page;
  }

  /** Opens a page whose first batch has been answered: the tag is at rest. */
  static async atRest(options: Options = {}): Promise<Page> {
    const page = await Page.open(options);
    await page.last.answer();
    page.sent.length = 0;
    page.events.length = 0;
    return page;
  }

  /** Puts a tag on the page and waits until it has run. */
  async load(attributes: Record<string, string> = this.#options.attributes ?? {}): Promise<void> {
    const { document } = this.window;
    const script = document.createElement('script');
    script.async = true;
    const all = { 'data-site': 'demo', 'data-endpoint': '/px', ...attributes };
    for (const [name, value] of Object.entries(all)) {
      if (value !== '-') script.setAttribute(name, value);
    }
    script.src = this.#options.src ?? '/px/b.js';
    const loaded = new Promise((resolve) => script.addEventListener('load', resolve));
    document.head.append(script);
    await loaded;
    await settled();
  }

  get beckon(): Beckon {
    return this.window.beckon as Beckon;
  }

  get last(): Sent {
    const sent = this.sent.at(-1);
    if (!sent) throw new Error('nothing was sent');
    return sent;
  }

  /** The kinds of all events sent, batch by batch. */
  get kinds(): string[][] {
    return this.sent.filter(({ method }) => method === 'POST').map(({ batch }) => batch.e.map(({ n }) => n));
  }

  /** Lets time pass until the tag has sent `n` requests in all; a minute at most. */
  async untilSent(n: number): Promise<void> {
    const end = this.clock.now + 60_000;
    while (this.sent.length < n && this.clock.now < end) await this.clock.advance(100);
    if (this.sent.length < n) throw new Error(`request ${n} was not sent within a minute`);
  }

  async hide(): Promise<void> {
    this.#visibility = 'hidden';
    this.window.document.dispatchEvent(new this.window.Event('visibilitychange'));
    await settled();
  }

  async show(): Promise<void> {
    this.#visibility = 'visible';
    this.window.document.dispatchEvent(new this.window.Event('visibilitychange'));
    await settled();
  }

  /** The page goes away, to come back perhaps. */
  async leave(): Promise<void> {
    await this.hide();
    this.window.dispatchEvent(new this.window.PageTransitionEvent('pagehide', { persisted: true }));
    await settled();
  }

  /** The browser brings the page back from its back/forward cache. */
  async restore(): Promise<void> {
    await this.show();
    this.window.dispatchEvent(new this.window.PageTransitionEvent('pageshow', { persisted: true }));
    await settled();
  }

  /** A person comes to see the page that was rendered ahead of time. */
  async activate(): Promise<void> {
    this.#prerendering = false;
    this.window.document.dispatchEvent(new this.window.Event('prerenderingchange'));
    await this.clock.advance(50); // it looks every so often
  }

  /** All that the page needs is there. */
  async loaded(): Promise<void> {
    this.#readyState = 'complete';
    await this.clock.advance(250);
  }

  #prepare(window: DOMWindow): void {
    const { clock } = this;
    let chance = 0;
    const define = (object: object, name: string, get: () => unknown): void => {
      Object.defineProperty(object, name, { configurable: true, get });
    };
    define(window.document, 'visibilityState', () => this.#visibility);
    define(window.document, 'hidden', () => this.#visibility === 'hidden');
    define(window.document, 'prerendering', () => this.#prerendering);
    define(window.document, 'readyState', () => this.#readyState);
    Object.assign(window, {
      setTimeout: clock.setTimeout,
      clearTimeout: clock.clearTimeout,
      setInterval: (run: () => void, ms: number) => {
        const again = (): void => {
          run();
          clock.setTimeout(again, ms);
        };
        return clock.setTimeout(again, ms);
      },
      fetch: (url: string, init: RequestInit = {}) => this.#take(url, init, 'fetch'),
      importPart: (url: string) => this.#import(url),
    });
    window.URL.createObjectURL = () => `blob:null/${uuid(++chance)}`;
    window.Date.now = () => clock.now;
    window.Math.random = () => 0;
    const { beacon } = this.#options;
    if (beacon !== undefined) {
      window.navigator.sendBeacon = (url, body) => {
        if (beacon) void this.#take(String(url), { method: 'POST', body: body as string }, 'beacon');
        return beacon;
      };
    }
    for (const type of ['beckon:ack', 'beckon:decision']) {
      window.document.addEventListener(type, (event) =>
        this.events.push({ type, detail: plain((event as CustomEvent).detail) }),
      );
    }
    window.addEventListener('error', (event) => this.errors.push(event.error));
    this.#options.prepare?.(window);
  }

  /** A built part, as `import()` gives it, which this DOM does not have: the same one for the same address. */
  #import(url: string): Promise<unknown> {
    const module = this.#modules.get(url) ?? this.#module(url);
    this.#modules.set(url, module);
    return module;
  }

  async #module(url: string): Promise<unknown> {
    this.imported.push(url);
    await this.#options.parts?.(url);
    const name = /\/(b\.[\w-]+)\.\w+\.js$/.exec(url)![1];
    const code = readFileSync(`.test/${name}.js`, 'utf8')
      .replace(/export\{(\w+) as default\}/, 'return{default:$1}')
      .replaceAll('import.meta.url', JSON.stringify(url))
      .replaceAll('import(', 'importPart(');
    return this.window.eval(`(() => {${code}})()`);
  }

  #take(url: string, init: RequestInit, transport: Sent['transport']): Promise<Response> {
    return new Promise((resolve, reject) => {
      const address = new URL(url, this.window.location.href).href;
      const { method, headers } = new Request(address, init as object);
      const body = (init.body ?? '') as string;
      this.sent.push({
        url: address,
        method,
        transport,
        contentType: headers.get('content-type'),
        body,
        init,
        at: this.clock.now,
        get batch() {
          return JSON.parse(body) as Batch;
        },
        async answer(status = 204, json?: unknown, extra: Record<string, string> = {}) {
          const text = status === 204 ? null : typeof json === 'string' ? json : JSON.stringify(json ?? {});
          resolve(new Response(text, { status, headers: { ...(status < 300 ? { 'Beckon-Lane': 'decide' } : {}), ...extra } }));
          await settled();
        },
        async fail() {
          reject(new TypeError('Failed to fetch'));
          await settled();
        },
      });
    });
  }
}

/** A copy made of our own realm's objects, which is what assertions compare. */
export function plain<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

/** A random UUID by a chance that is none. */
function uuid(chance: number): string {
  return `aaaaaaaa-aaaa-4aaa-baaa-${chance.toString(16).padStart(12, '0')}`;
}

/** Serves the built tag at any address. */
class BuiltTag extends ResourceLoader {
  override fetch(): ReturnType<ResourceLoader['fetch']> {
    const core = readFileSync('.test/b.js', 'utf8').replaceAll('import(', 'importPart(');
    return Promise.resolve(Buffer.from(core)) as ReturnType<ResourceLoader['fetch']>;
  }
}
