import assert from 'node:assert/strict';
import { test } from 'node:test';
import refresh from '../src/parts/refresh';
import { settled } from './clock';
import { partPage, type PartPage } from './part';

/** A page with the part on it, whose requests and their ends are the test's. */
class Asking {
  readonly page: PartPage;
  asked = 0;
  hidden = false;
  heard: { reason: string }[] = [];
  answer: Promise<unknown> = Promise.resolve();
  #ends!: (list: { getEntries(): object[] }) => void;

  constructor() {
    this.page = partPage({}, (window) => Object.defineProperty(window.document, 'hidden', { get: () => this.hidden }));
    const heard = (run: (list: { getEntries(): object[] }) => void): void => void (this.#ends = run);
    Object.assign(globalThis, {
      PerformanceObserver: class {
        constructor(run: (list: { getEntries(): object[] }) => void) {
          heard(run);
        }
        observe(options: object): void {
          assert.deepEqual(options, { type: 'resource', buffered: true });
        }
      },
    });
    const decision = (): Promise<unknown> => {
      this.asked++;
      return this.answer;
    };
    Object.assign(this.page.core, { decision });
    const { document } = this.page.window;
    document.addEventListener('beckon:decision', (event) => this.heard.push((event as CustomEvent).detail));
    Object.assign(globalThis, { CustomEvent: this.page.window.CustomEvent });
    this.page.run(refresh);
  }

  /** Requests end, as the browser lists them. */
  async ends(responseStatus?: number, ...names: string[]): Promise<void> {
    if (!names.length) names.push('https://shop.example/px/e');
    this.#ends({ getEntries: () => names.map((name) => ({ name, responseStatus })) });
    await settled();
  }

  async asks(times: number, within: number): Promise<void> {
    await this.page.pass(within);
    assert.equal(this.asked, times);
    assert.deepEqual(this.page.words, []);
  }

  decide(detail: object): void {
    const { CustomEvent, document } = this.page.window;
    document.dispatchEvent(new CustomEvent('beckon:decision', { detail }));
    this.heard.length = 0;
  }

  async show(): Promise<void> {
    this.hidden = false;
    this.page.window.document.dispatchEvent(new this.page.window.Event('visibilitychange'));
    await settled();
  }
}

for (const status of [204, 200, undefined]) {
  test(`two seconds after a batch has been taken, with ${status}, the decision is asked for, once`, async () => {
    const page = new Asking();
    await page.ends(status);
    await page.asks(0, 1_999);
    await page.asks(1, 1);
    await page.asks(1, 60_000);
  });
}

test('what was not taken, and what others ask for, changes nothing', async () => {
  const page = new Asking();
  for (const status of [0, 400, 429, 503]) await page.ends(status);
  await page.ends(200, 'https://shop.example/px/v1/decision?site=demo&w=0', 'https://shop.example/cart', 'https://other.example/px/e');
  await page.asks(0, 60_000);
});

test('who clicks fast is answered every two seconds, and once more for the last click', async () => {
  const page = new Asking();
  for (let i = 0; i < 8; i++) {
    await page.ends(204);
    await page.page.pass(500);
  }
  await page.asks(2, 0);
  await page.asks(3, 2_000);
  await page.asks(3, 60_000);
});

test('an answer that takes its time is waited for', async () => {
  const page = new Asking();
  let done!: (value: unknown) => void;
  page.answer = new Promise((resolve) => (done = resolve));
  await page.ends(204);
  await page.asks(1, 2_000);
  await page.ends(204);
  await page.asks(1, 60_000);
  done(undefined);
  await page.asks(2, 2_000);
});

test('nothing is asked while nobody is looking, but when somebody does', async () => {
  const page = new Asking();
  await page.ends(204);
  page.hidden = true;
  await page.asks(0, 60_000);
  await page.show();
  await page.asks(1, 0);
  await page.asks(1, 60_000);
});

const until = (expires_at: string): object => ({ site: 'demo', eligible: true, offer: { id: 'a' }, reason: 'TARGETING_MATCH', expires_at });
const minutes = 60_000;

test('the end of an offer is told when it is there, then asked about, once', async () => {
  const page = new Asking();
  page.decide(until('2026-05-04T10:10:00Z'));
  await page.asks(0, 5 * minutes);
  page.decide(until('2026-05-04T10:30:00Z')); // another one, or the same for longer
  page.decide({ eligible: false, reason: 'ERROR' });
  await page.asks(0, 25 * minutes - 1);
  assert.deepEqual(page.heard, []);
  await page.asks(1, 1);
  assert.deepEqual(page.heard, [{ site: 'demo', eligible: false, offer: null, reason: 'EXPIRED' }]);
  page.decide(until('2026-05-04T10:30:00Z')); // says a service whose clock is behind
  await page.asks(1, 60 * minutes);
});

test('an offer that went before its end has none, and one of a month ends in a month', async () => {
  const page = new Asking();
  page.decide(until('2026-05-04T10:10:00Z'));
  page.decide({ eligible: false, offer: null, reason: 'NO_CONSENT', expires_at: null });
  await page.asks(0, 60 * minutes);
  const month = 30 * 24 * 60 * minutes;
  page.decide(until(new Date(Date.now() + month).toISOString()));
  await page.asks(0, month - 1);
  assert.deepEqual(page.heard, []);
  await page.asks(1, 1);
  assert.equal(page.heard.length, 1);
});
