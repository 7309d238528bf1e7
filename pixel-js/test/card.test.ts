import assert from 'node:assert/strict';
import { test } from 'node:test';
import card from '../src/parts/card';
import { settled } from './clock';
import { partPage, type PartPage } from './part';

const own = '<div data-beckon-offer><template><p>Own</p></template></div>';

function withSlots(html: string, lang = ''): PartPage {
  const page = partPage({}, (window) => {
    window.document.documentElement.lang = lang;
    window.document.body.innerHTML = html;
    Object.assign(globalThis, { MutationObserver: window.MutationObserver });
  });
  page.run(card);
  return page;
}

const templates = ({ window }: PartPage): string[] =>
  [...window.document.querySelectorAll('template')].map((at) => at.content.textContent!.replace(/\s+/g, ' ').trim());

test('an empty slot gets a card with a place for all that an offer says, another keeps its own', async () => {
  const page = withSlots(`<div data-beckon-offer></div>${own}`);
  assert.deepEqual(templates(page), ['until No, thanks', 'Own']);
  const { content } = page.window.document.querySelector('template')!;
  const names = (attribute: string): string[] =>
    [...content.querySelectorAll(`[${attribute}]`)].map((at) => at.getAttribute(attribute)!);
  assert.deepEqual(names('data-beckon-text'), ['title', 'code', 'expires', 'disclosure']);
  assert.deepEqual(names('data-beckon-tell'), ['offer_accepted', 'offer_dismissed']);
  assert.deepEqual(names('type'), ['button', 'button']); // a slot may stand in a form
  page.window.document.body.insertAdjacentHTML('beforeend', '<div data-beckon-offer="later"></div>');
  await settled();
  assert.equal(templates(page).length, 3);
});

for (const [lang, want] of [
  ['de-AT', 'gilt bis Nein, danke'],
  ['fr', 'jusqu\u2019au Non, merci'],
  ['fi', 'until No, thanks'],
] as const) {
  test(`on a page in ${lang} the card says ${want}`, () => {
    assert.deepEqual(templates(withSlots('<div data-beckon-offer></div>', lang)), [want]);
  });
}

test('a click on the code copies it, as often as one likes', async () => {
  const page = withSlots('<div data-beckon-offer><b></b><button data-beckon-text="code">BACK10</button></div>');
  const copied: string[] = [];
  Object.defineProperty(globalThis, 'navigator', {
    configurable: true,
    value: { clipboard: { writeText: async (text: string) => void copied.push(text) } },
  });
  const code = page.window.document.querySelector('button')!;
  code.click();
  await settled();
  code.click();
  await settled();
  assert.deepEqual([copied, code.textContent], [['BACK10', 'BACK10'], 'BACK10 \u2713']);
});

test('what visitors wrote copies nothing, where the page says so', async () => {
  const page = withSlots('<section data-beckon-ignore><div data-beckon-offer><button data-beckon-text="code">rm -rf</button></div></section>');
  Object.defineProperty(globalThis, 'navigator', { configurable: true, value: {} }); // any use of it would be told
  page.window.document.querySelector('button')!.click();
  await settled();
  assert.equal(page.words.length, 0);
});

test('a browser that does not let us copy is told to the developer', async () => {
  const page = withSlots('<div data-beckon-offer><button data-beckon-text="code">BACK10</button></div>');
  Object.defineProperty(globalThis, 'navigator', {
    configurable: true,
    value: { clipboard: { writeText: () => Promise.reject(new Error('NotAllowedError')) } },
  });
  page.window.document.querySelector('button')!.click();
  await settled();
  assert.equal(page.words.length, 1);
});

test('an offer without a code shows no button for it', async () => {
  const page = withSlots(own);
  page.window.document.querySelector('[data-beckon-offer]')!.insertAdjacentHTML('beforeend', '<div><button data-beckon-text="code"></button></div>');
  await settled();
  assert.equal(page.window.document.querySelector('button')!.hidden, true);
});

test('what goes wrong when the page changes reaches nobody but the developer', async () => {
  const page = withSlots('');
  page.window.addEventListener('error', ({ error }) => assert.fail(error));
  Object.assign(page.window.document, { querySelectorAll: {} });
  page.window.document.body.append('more');
  await settled();
  assert.equal(page.words.length, 1);
});
