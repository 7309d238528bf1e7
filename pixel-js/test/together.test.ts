import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Page } from './page';

/** A core with its parts, where they could misunderstand each other. */
const yes = { site: 'demo', eligible: true, reason: 'TARGETING_MATCH', personalised: true, decision_id: 'D1', offer: { id: 'w', title: 'T', kind: 'percent' } };
const slot = '<div data-beckon-offer><template><section><b data-beckon-text="title"></b></section></template></div>';

test('a dismissed offer stays away on a page that takes two seconds to load', async () => {
  const page = await Page.open({ html: slot, loading: true, prepare: (window) => {
    Object.assign(window, { IntersectionObserver: class { observe() {} } });
    window.sessionStorage.setItem('_bk_demo', '[]');
    window.sessionStorage.setItem('_bk.offer', 'offer_shownwD1offer_dismissedwD1');
  } });
  await page.clock.advance(1_500);
  const get = page.sent.find(({ method }) => method === 'GET')!;
  await get.answer(200, yes);
  await page.clock.advance(10);
  assert.equal(page.window.document.querySelector('[data-beckon-offer] b')?.textContent, undefined);
  assert.ok(page.window.sessionStorage.getItem('_bk.offer'));
});

test('a withdrawal ends the offer that is shown, though the last answer was none', async () => {
  const page = await Page.atRest({ attributes: { 'data-use': 'refresh' } });
  void page.beckon.decision();
  await page.clock.advance(0);
  await page.last.answer(200, yes);
  void page.beckon.decision();
  await page.clock.advance(0);
  await page.last.fail();
  page.beckon.consent({ decide: false });
  assert.equal((page.events.at(-1)!.detail as { reason: string }).reason, 'NO_CONSENT');
});

test('what is no JSON leaves no rejection behind under data-debug', async () => {
  const seen: unknown[] = [];
  const on = (e: unknown): void => void seen.push(e);
  process.on('unhandledRejection', on);
  const page = await Page.open({ attributes: { 'data-debug': '' } });
  await page.last.answer(200, '<!doctype html>', { 'Beckon-Lane': '' });
  await new Promise((r) => setTimeout(r, 50));
  process.off('unhandledRejection', on);
  assert.deepEqual(seen.map(String), []);
});
