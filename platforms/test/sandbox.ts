/** Shopify's sandbox for web pixels, as far as it is documented: no page, no cookies, events that come in. */
import { buildSync } from 'esbuild';
import { createContext, runInContext } from 'node:vm';
import type { CustomerPrivacyPayload, RegisterInit } from '@shopify/web-pixels-extension';

export const bundle = (): string =>
  buildSync({ entryPoints: ['shopify/extensions/beckon-pixel/src/index.ts'], bundle: true, format: 'iife', target: 'es2021', write: false }).outputFiles[0]!.text;

interface Body {
  readonly v: number;
  readonly s: string;
  readonly z: number;
  readonly k: string;
  readonly c?: Record<string, unknown>;
  readonly e: readonly { n: string; i: string; t: number; u: string; r?: string; p?: Record<string, unknown> }[];
}

export interface Request {
  readonly url: string;
  readonly init: RequestInit;
  readonly text: string;
  readonly body: Body;
}

export class Sandbox {
  readonly sent: Request[] = [];
  /** What the next requests get, in turn; then 204. Nothing means that the network fails. */
  replies: (number | undefined)[] = [];
  readonly timers: { run: () => void; after: number }[] = [];
  #subscribers = new Map<string, ((event: unknown) => void)[]>();
  #privacy: ((event: CustomerPrivacyPayload) => void)[] = [];

  constructor(init: RegisterInit, settings: Record<string, unknown>) {
    const globals = {
      URL, URLSearchParams, atob,
      setTimeout: (run: () => void, after: number) => this.timers.push({ run, after }),
      fetch: async (url: string, request: RequestInit) => {
        const text = String(request.body);
        this.sent.push({ url, init: request, text, body: JSON.parse(text) as Body });
        const status = this.replies.length ? this.replies.shift() : 204;
        if (status === undefined) throw new TypeError('Failed to fetch');
        return new Response(null, { status });
      },
      shopify: {
        extend: (point: string, start: (api: unknown) => void) => {
          if (point !== 'WebPixel::Render') throw new Error(point);
          start({
            init, settings, browser: {}, _pixelInfo: {},
            analytics: { subscribe: (name: string, heard: (event: unknown) => void) => this.#subscribers.set(name, [...(this.#subscribers.get(name) ?? []), heard]) },
            customerPrivacy: { subscribe: (_name: string, heard: (event: CustomerPrivacyPayload) => void) => this.#privacy.push(heard) },
          });
        },
      },
    };
    runInContext(bundle(), createContext(globals));
  }

  publish(event: { name: string } | undefined): void {
    for (const heard of this.#subscribers.get(event!.name) ?? []) heard(structuredClone(event)); // it comes through postMessage
  }

  consent(permissions: Partial<RegisterInit['customerPrivacy']>): void {
    const customerPrivacy = { analyticsProcessingAllowed: true, marketingAllowed: true, preferencesProcessingAllowed: true, saleOfDataAllowed: true, ...permissions };
    for (const heard of this.#privacy) heard({ customerPrivacy });
  }

  /** Lets what has been answered sink in. */
  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) await Promise.resolve();
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Lets all the time pass that somebody waits for, once. */
  async passTime(): Promise<void> {
    for (const { run } of this.timers.splice(0)) run();
    await this.settle();
  }

  get events(): Body['e'][number][] {
    return this.sent.flatMap(({ body }) => body.e);
  }
}
