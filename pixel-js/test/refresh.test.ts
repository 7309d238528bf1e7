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
