import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { JSDOM } from 'jsdom';
import { pages, render, scripts } from './bigcommerce';

test('each script is one script element, with the shop\'s two lines and a category of its own', () => {
  const list = scripts('https://px.other.example/', 'other');
  assert.deepEqual(list.map(({ consent_category }) => consent_category), ['analytics', 'targeting']);
  for (const { html } of list) {
    const { head, body } = new JSDOM(html).window.document;
    assert.deepEqual([head.querySelectorAll('script').length, head.childElementCount, body.childElementCount], [1, 1, 0]);
  }
  assert.ok(list[0]!.html.includes("endpoint = 'https://px.other.example';") && list[0]!.html.includes("site = 'other';"));
  for (const wrong of [[], ['https://x', "a'b"], ["https://x'+y", 'demo'], ['px.shop.example', 'demo']]) {
    assert.throws(() => execFileSync('node', ['bigcommerce/scripts.mjs', ...wrong], { stdio: 'pipe' }), wrong.join());
  }
});

test('what is pasted by hand is what the API is given', () => {
  const [tag, offers] = scripts('https://px.shop.example');
  assert.equal(tag!.html, readFileSync('bigcommerce/tag.html', 'utf8'));
  assert.equal(offers!.html, readFileSync('bigcommerce/offers.html', 'utf8'));
});

test('shop data is data in every page, whatever is in it, and so is what is missing', async () => {
  for (const context of [...Object.values(pages), {}]) {
    const { document } = new JSDOM(await render(scripts('https://px.shop.example'), context)).window;
    const found = [...document.querySelectorAll('script')];
    assert.equal(found.length, 2);
    new Function(found[0]!.text); // it can be read
    assert.ok(!found[0]!.text.includes('ada@example.com'));
  }
});

test('targeting that is allowed on a page that runs is told at once, where there is a banner', () => {
  const said = (cookie: string, loaded: boolean): unknown[] => {
    const { window } = new JSDOM('', { url: 'https://shop.example/', runScripts: 'outside-only' });
    const calls: unknown[] = [];
    window.document.cookie = cookie;
    Object.assign(window, { beckon: Object.assign((...call: unknown[]) => calls.push(call), loaded && { decision: () => undefined }) });
    window.eval(new JSDOM(scripts('https://px.shop.example')[1]!.html).window.document.querySelector('script')!.text);
    assert.ok('beckonOffers' in window.document.documentElement.dataset);
    return JSON.parse(JSON.stringify(calls)) as unknown[];
  };
  assert.deepEqual(said('bc_consent=x', true), [['consent', { measure: true, decide: true, src: 'bigcommerce' }]]);
  assert.deepEqual(said('other=x', true), []);
  assert.deepEqual(said('bc_consent=x', false), []); // tag.html will tell it
});
