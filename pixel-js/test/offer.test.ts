import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Core } from '../src/core';
import offer from '../src/parts/offer';
import refresh from '../src/parts/refresh';
import { settled } from './clock';
import { partPage, type PartPage } from './part';

const card = `<template><section>
  <b data-beckon-text="title"></b> <code data-beckon-text="code"></code> <time data-beckon-text="expires"></time>
  <form><input type="hidden" name="token" data-beckon-text="token"><button data-beckon-tell="offer_accepted">Use it</button></form>
  <button data-beckon-tell="offer_dismissed">No</button>
</section></template>`;
const slot = `<div data-beckon-offer role="status">${card}</div>`;

const none = { site: 'demo', eligible: false, offer: null, reason: 'DEFAULT', expires_at: null };
const yes = {
  ...none,
  eligible: true,
  reason: 'TARGETING_MATCH',
  offer: { id: 'welcome-back', title: '10% <b>off</b>', code: 'BACK10', percent: 10 },
  token: 'a.b.c',
  expires_at: '2026-05-04T10:30:00Z',
  personalised: true,
  disclosure: 'You see this because you came back.',
  decision_id: 'd1',
};
const everyone = { ...yes, offer: { ...yes.offer, id: 'hello' }, personalised: false, decision_id: null };

/** A page with slots, whose views and visibility are the test's. */
class Slots {
  readonly page: PartPage;
  asked = 0;
  lane: string | undefined = 'decide; recorded';
  hidden = false;
  #views = new Map<Element, (entries: { intersectionRatio: number }[]) => void>();

  constructor(html: string, prepare: (window: PartPage['window']) => void = () => {}) {
    this.page = partPage({}, (window) => {
      window.document.body.innerHTML = html;
      const views = this.#views;
      Object.defineProperty(window.document, 'hidden', { configurable: true, get: () => this.hidden });
      Object.assign(globalThis, {
        sessionStorage: window.sessionStorage,
        MutationObserver: window.MutationObserver,
        IntersectionObserver: class {
          constructor(readonly run: (entries: { intersectionRatio: number }[]) => void, readonly options: object) {}
          observe(root: Element): void {
            assert.deepEqual(this.options, { threshold: 0.5 });
            views.set(root, this.run);
          }
        },
      });
      prepare(window);
    });
    Object.assign(this.page.core, {
      lane: () => this.lane,
      decision: () => void this.asked++,
    } satisfies Partial<Record<keyof Core, unknown>>);
    this.page.run(offer);
  }

  get document(): Document {
    return this.page.window.document;
  }

  decide(decision: object): void {
    const { CustomEvent } = this.page.window;
    this.document.dispatchEvent(new CustomEvent('beckon:decision', { detail: decision }));
  }

  /** What stands in each slot, as a person reads it. */
  get shown(): string[] {
    return [...this.document.querySelectorAll('[data-beckon-offer]')].map((at) => {
      const read = at.cloneNode(true) as Element;
      for (const input of read.querySelectorAll('input')) input.remove(); // holds its text, and shows none of it
      return read.textContent!.replace(/\s+/g, ' ').trim();
    });
  }

  view(ratio: number, at = this.document.querySelector('template ~ *')!): void {
    this.#views.get(at)!([{ intersectionRatio: ratio }]);
  }

  click(selector: string): void {
    this.document.querySelector<HTMLElement>(selector)!.click();
  }
}

const ends = new Date(yes.expires_at).toLocaleString([], { dateStyle: 'short', timeStyle: 'short' });
const text = `10% <b>off</b> BACK10 ${ends} Use it No ${yes.disclosure}`;
const shownEvent = ['offer_shown', { offer: 'welcome-back', decision: 'd1' }];

test('an offer fills the slot as text, beside the template, and nothing before it is decided', () => {
  const slots = new Slots(slot);
  assert.deepEqual([slots.shown, slots.asked], [[''], 1]);
  slots.decide(yes);
  assert.deepEqual(slots.shown, [text]);
  assert.equal(slots.document.querySelector('b')!.children.length, 0);
  assert.equal(slots.document.querySelector<HTMLInputElement>('input')!.value, 'a.b.c');
  assert.equal(slots.document.querySelector('[data-beckon-offer]')!.firstElementChild!.localName, 'template');
});

test('no offer and the comparison group show nothing and tell nothing', async () => {
  const slots = new Slots(slot);
  for (const reason of ['DEFAULT', 'HOLDOUT', 'NO_CONSENT']) slots.decide({ ...none, reason, decision_id: 'd1' });
  await slots.page.pass(60_000);
  assert.deepEqual([slots.shown, slots.page.told, slots.asked], [[''], [], 1]);
});

test('the disclosure stands where the template says, or at the end, and only beside a personalised offer', () => {
  const placed = '<div data-beckon-offer><template><p><i data-beckon-text="disclosure"></i>: <b data-beckon-text="title"></b></p></template></div>';
  const slots = new Slots(slot + placed);
  slots.decide(yes);
  assert.deepEqual(slots.shown, [text, `${yes.disclosure}: 10% <b>off</b>`]);
  slots.decide(everyone);
  assert.deepEqual(slots.shown, [text.slice(0, -yes.disclosure.length - 1), ': 10% <b>off</b>']);
});

test('a slot for one offer shows that one alone', () => {
  const slots = new Slots(slot.replace('data-beckon-offer', 'data-beckon-offer="hello"') + slot);
  slots.decide(yes);
  assert.deepEqual(slots.shown, ['', text]);
  slots.decide(everyone);
  assert.ok(slots.shown.every((shown) => shown.startsWith('10%')));
});

test('what visitors wrote is no slot, where the page says so', () => {
  const slots = new Slots(`<section data-beckon-ignore>${slot}</section>${slot}`);
  slots.decide(yes);
  assert.deepEqual([slots.shown, slots.document.querySelectorAll('input').length], [['', text], 1]);
});

test('a slot that comes later is filled when it comes', async () => {
  const slots = new Slots('');
  slots.decide(yes);
  slots.document.body.innerHTML = slot;
  await settled();
  assert.deepEqual(slots.shown, [text]);
});

test('a template without an element fills nothing and throws nothing', () => {
  const slots = new Slots('<div data-beckon-offer><template>words</template></div>' + slot);
  slots.decide(yes);
  assert.deepEqual([slots.shown, slots.page.words], [['', text], []]);
});

test('it is seen when half of it has been in view for a second', async () => {
  const slots = new Slots(slot);
  slots.decide(yes);
  slots.view(0.4);
  await slots.page.pass(5_000);
  slots.view(0.5);
  await slots.page.pass(999);
  slots.view(0.1);
  await slots.page.pass(5_000);
  assert.deepEqual(slots.page.told, []);
  slots.view(1);
  await slots.page.pass(1_000);
  assert.deepEqual(slots.page.told, [shownEvent]);
});

test('a page in the background is not seen before it comes to the front', async () => {
  const slots = new Slots(slot);
  slots.decide(yes);
  slots.hidden = true;
  slots.view(1);
  await slots.page.pass(5_000);
  assert.deepEqual(slots.page.told, []);
  slots.hidden = false;
  await slots.page.pass(1_000);
  assert.deepEqual(slots.page.told, [shownEvent]);
});

test('what was seen is told once: of two slots, after another decision, on the next page', async () => {
  const slots = new Slots(slot + slot);
  slots.decide(yes);
  for (const at of slots.document.querySelectorAll('template ~ *')) slots.view(1, at);
  await slots.page.pass(1_000);
  slots.decide(none);
  slots.decide(yes);
  slots.view(1);
  await slots.page.pass(1_000);
  assert.deepEqual(slots.page.told, [shownEvent]);

  const kept = slots.page.window.sessionStorage['_bk.offer'];
  const next = new Slots(slot, ({ sessionStorage }) => (sessionStorage['_bk.offer'] = kept));
  next.decide(yes);
  next.view(1);
  await next.page.pass(1_000);
  assert.deepEqual(next.page.told, []);
});

test('who dismisses an offer does not see it again: not in any slot, not on the next page', () => {
  const slots = new Slots(slot + slot);
  slots.decide(yes);
  slots.click('[data-beckon-tell=offer_dismissed]');
  assert.deepEqual(slots.shown, ['', '']);
  slots.decide({ ...yes, token: 'd.e.f' });
  assert.deepEqual([slots.shown, slots.page.told], [['', ''], [['offer_dismissed', { offer: 'welcome-back', decision: 'd1' }]]]);
  slots.decide({ ...yes, decision_id: 'd2' });
  assert.deepEqual(slots.shown, [text, text]);

  const kept = slots.page.window.sessionStorage['_bk.offer'];
  const next = new Slots(slot, ({ sessionStorage }) => (sessionStorage['_bk.offer'] = kept));
  next.decide(yes);
  assert.deepEqual(next.shown, ['']);
});

for (const [name, lane, prepare] of [
  ['outside of the lane decide', 'count; default', undefined],
  ['before the lane is known', undefined, undefined],
  [
    'where storage is blocked',
    'decide; choice',
    () => {
      Object.defineProperty(globalThis, 'sessionStorage', {
        configurable: true,
        get: () => {
          throw new Error('SecurityError');
        },
      });
    },
  ],
] as const) {
  test(`${name} the page remembers, and nothing is stored`, () => {
    const slots = new Slots(slot, prepare);
    slots.lane = lane;
    slots.decide(everyone);
    slots.click('[data-beckon-tell=offer_dismissed]');
    slots.decide(everyone);
    assert.deepEqual([slots.shown, slots.page.told.length], [[''], 1]);
    assert.equal(slots.page.words.length > 0, name === 'where storage is blocked');
    assert.equal(slots.page.window.sessionStorage.length, 0);
    Object.defineProperty(globalThis, 'sessionStorage', { configurable: true, writable: true, value: undefined });
  });
}

test('a lane that was lowered takes along what the tab has kept', () => {
  const slots = new Slots(slot);
  slots.decide(yes);
  slots.click('[data-beckon-tell=offer_dismissed]');
  assert.deepEqual(Object.keys(slots.page.window.sessionStorage), ['_bk.offer']);
  slots.lane = 'count; denied';
  slots.decide({ ...none, reason: 'NO_CONSENT' });
  assert.deepEqual(Object.keys(slots.page.window.sessionStorage), []);
});

test('accepting is told once, and leaves the offer where it is', () => {
  const slots = new Slots(slot);
  slots.decide(yes);
  slots.document.querySelector('form')!.addEventListener('submit', (event) => event.preventDefault());
  slots.click('[data-beckon-tell=offer_accepted]');
  slots.click('[data-beckon-tell=offer_accepted]');
  assert.deepEqual(slots.page.told, [['offer_accepted', { offer: 'welcome-back', decision: 'd1' }]]);
  assert.deepEqual(slots.shown, [text]);
});

test('an offer goes when the decision turns, and stays when nobody answers', () => {
  const slots = new Slots(slot);
  slots.decide(yes);
  slots.decide({ ...none, reason: 'ERROR' });
  assert.deepEqual(slots.shown, [text]);
  slots.decide({ ...none, reason: 'NO_CONSENT' });
  assert.deepEqual(slots.shown, ['']);
});

test('the same offer again is not drawn again: nothing is read out twice, no focus is lost', () => {
  const slots = new Slots(slot);
  slots.decide(everyone);
  const root = slots.document.querySelector('template ~ *');
  slots.decide({ ...everyone, token: 'd.e.f', expires_at: '2026-05-04T11:00:00Z' });
  assert.equal(slots.document.querySelector('template ~ *'), root);
});

test('an offer goes at its end, does not come back when nobody answers or the same is over, and does for longer', async () => {
  const slots = new Slots(slot);
  Object.assign(globalThis, {
    CustomEvent: slots.page.window.CustomEvent,
    PerformanceObserver: class {
      observe(): void {}
    },
  });
  slots.page.run(refresh); // comes along with each slot
  slots.decide(yes);
  assert.deepEqual(slots.shown, [text]);
  await slots.page.pass(30 * 60_000);
  assert.deepEqual([slots.shown, slots.asked], [[''], 2]);
  slots.decide({ ...none, reason: 'ERROR' });
  slots.decide(yes);
  assert.deepEqual([slots.shown, slots.asked], [[''], 2]);
  slots.decide({ ...everyone, expires_at: '2026-05-04T11:00:00Z' });
  assert.notDeepEqual(slots.shown, ['']);
});

test('a withdrawal takes along what the tab has kept, though no reply has named the new lane', () => {
  const slots = new Slots(slot);
  slots.decide(yes);
  slots.click('[data-beckon-tell=offer_dismissed]');
  assert.equal(slots.page.window.sessionStorage.length, 1);
  slots.decide({ ...none, reason: 'NO_CONSENT' });
  assert.equal(slots.page.window.sessionStorage.length, 0);
});

test('where storage is full a dismissal is told and done all the same, and throws nothing into the page', () => {
  const errors: unknown[] = [];
  const slots = new Slots(slot, (window) => {
    window.addEventListener('error', (event) => errors.push(event));
    const full = () => {
      throw new Error('QuotaExceededError');
    };
    Object.assign(globalThis, { sessionStorage: new Proxy({}, { set: full }) });
  });
  slots.decide(yes);
  slots.click('[data-beckon-tell=offer_dismissed]');
  slots.decide(yes);
  assert.deepEqual([slots.shown, errors], [[''], []]);
  assert.deepEqual(slots.page.told, [['offer_dismissed', { offer: 'welcome-back', decision: 'd1' }]]);
});

test('what goes wrong when the page changes, or when it is looked at, reaches nobody but the developer', async () => {
  const slots = new Slots(slot);
  slots.decide(yes);
  slots.page.window.addEventListener('error', ({ error }) => assert.fail(error));
  Object.assign(slots.page.window.document, { querySelectorAll: {} }); // a form called that is in the way
  slots.document.body.append('more');
  await settled();
  Object.defineProperty(slots.page.window.document, 'hidden', { get: () => assert.fail('hidden') });
  slots.view(1);
  await slots.page.pass(1_000);
  assert.equal(slots.page.words.length, 2);
});
