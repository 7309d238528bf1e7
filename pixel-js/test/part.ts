import { JSDOM, type DOMWindow } from 'jsdom';
import type { Consent } from '../src/api';
import type { Core, Part } from '../src/core';
import { guard } from '../src/guard';
import type { Kind, Props } from '../src/wire';
import { Clock } from './clock';
import { plain } from './page';

/** A page for a part alone: its `Core` is ours, and so is time. */
export interface PartPage {
  readonly window: DOMWindow & Record<string, unknown>;
  readonly core: Core;
  readonly consents: Consent[];
  readonly told: [Kind, Props | undefined][];
  /** How often the part said that the first request need not wait for it. */
  readonly released: () => number;
  /** What the part said to the shop's developer, faults among it. */
  readonly words: unknown[][];
  run(part: Part): void;
  pass(milliseconds: number): Promise<void>;
}

export function partPage(data: DOMStringMap = {}, prepare: (window: PartPage['window']) => void = () => {}): PartPage {
  const clock = new Clock();
  let released = 0;
  const window = new JSDOM('<!doctype html>', { url: 'https://shop.example/' }).window as PartPage['window'];
  Object.assign(globalThis, { window, document: window.document, setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout });
  Date.now = () => clock.now;
  prepare(window);
  const page = { consents: [] as Consent[], told: [] as [Kind, Props | undefined][], words: [] as unknown[][] };
  const core: Core = {
    site: 'demo',
    endpoint: '/px',
    data,
    tell: (kind, props) => void page.told.push([kind, plain(props)]),
    decision: () => Promise.reject(new Error('no part of consent asks for a decision')),
    consent: (choice) => void page.consents.push(plain(choice)),
    ready: () => void released++,
    lane: () => undefined,
    queue: () => [],
    calls: {},
    debug: (...words) => void page.words.push(words),
    guard: (run) => guard(core, run),
    listen: (target, type, run) => target.addEventListener(type, guard(core, run)),
  };
  return { ...page, window, core, released: () => released, run: (part) => part(core), pass: (ms) => clock.advance(ms) };
}
