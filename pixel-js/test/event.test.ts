import assert from 'node:assert/strict';
import { test } from 'node:test';
import event from '../src/parts/event';
import { settled } from './clock';
import { partPage, type PartPage } from './part';

function withEvents(html: string): PartPage {
  const page = partPage({}, (window) => {
    window.document.body.innerHTML = html;
    Object.assign(globalThis, { MutationObserver: window.MutationObserver, location: window.location });
  });
  page.run(event);
  return page;
}

const at = (page: PartPage, selector: string): HTMLElement => page.window.document.querySelector<HTMLElement>(selector)!;

test('a click tells the event, with what the element and those around it say', () => {
  const page = withEvents(`<main data-beckon-currency="EUR" data-beckon-product="other">
    <article data-beckon-product="mug" data-beckon-price="12.50" data-beckon-category="0815">
      <button data-beckon-event="cart_add" data-beckon-quantity="2"><i>Add</i></button><button id="silent">More</button>
    </article></main>`);
  at(page, 'i').click();
  at(page, '#silent').click();
  assert.deepEqual(page.told, [['cart_add', { product: 'mug', category: '0815', currency: 'EUR', quantity: 2, price: 12.5 }]]);
});

test('a click that the page answers itself is told too', () => {
  const page = withEvents('<a href="#" data-beckon-event="checkout_start">Go</a>');
  at(page, 'a').addEventListener('click', (click) => click.preventDefault());
  at(page, 'a').click();
  assert.deepEqual(page.told, [['checkout_start', {}]]);
});

test('a form tells when it is submitted, not when it is clicked, and reads its fields then', () => {
  const page = withEvents(`<form data-beckon-event="cart_add" data-beckon-product="mug" data-beckon-variant="field:variant" data-beckon-quantity="field:quantity">
    <input type="radio" name="variant" value="oat"><input type="radio" name="variant" value="007" checked>
    <select name="quantity"><option>1</option><option selected>3</option></select><p>words</p></form>`);
  at(page, 'p').click();
  assert.deepEqual(page.told, []);
  at(page, 'form').dispatchEvent(new (page.window.Event as never as typeof Event)('submit', { bubbles: true }));
  assert.deepEqual(page.told, [['cart_add', { product: 'mug', variant: '007', quantity: 3 }]]);
});

test('of a search only the length is told', () => {
  const page = withEvents('<form data-beckon-event="search" data-beckon-query="field:q"><input name="q" value="red shoes"></form>');
  at(page, 'form').dispatchEvent(new (page.window.Event as never as typeof Event)('submit', { bubbles: true }));
  assert.deepEqual(page.told, [['search', { query_length: 9 }]]);
});

test('what is no number, an empty attribute, a missing field and an unknown name are left out', () => {
  const page = withEvents(`<button data-beckon-event="cart_add" data-beckon-product="" data-beckon-price="12,50" data-beckon-quantity="field:no"
    data-beckon-email="ada@example.com" data-beckon-cart_value="25">Add</button>`);
  at(page, 'button').click();
  assert.deepEqual(page.told, [['cart_add', { price: null, cart_value: 25 }]]); // null: the collector leaves it out
});

const order = `data-beckon-event="purchase" data-beckon-on="view" content='{"order":"A-1","value":25,"currency":"SEK","items":[{"product":"mug","quantity":2}]}'`;

test('an order is told by a meta element, as JSON; attributes around it add what that does not say', () => {
  const page = withEvents(`<div data-beckon-currency="EUR" data-beckon-category="mugs"><meta ${order}></div>`);
  assert.deepEqual(page.told, [['purchase', { order: 'A-1', value: 25, currency: 'SEK', items: [{ product: 'mug', quantity: 2 }], category: 'mugs' }]]);
});

test('money is told by no element that a review may hold, seen or clicked, and the developer hears why', () => {
  const page = withEvents(`<div><p ${order}></p><a href="#" data-beckon-event="purchase" data-beckon-value="9">Read on</a></div>`);
  at(page, 'a').click();
  assert.deepEqual([page.told, page.words.length], [[], 2]);
});

test('what is ignored tells nothing: neither the element nor what is in it, even if it says so itself', async () => {
  const view = '<i data-beckon-event="product_view" data-beckon-on="view" data-beckon-product="mug"></i>';
  const page = withEvents(`<section data-beckon-ignore data-beckon-event="cart_add">${view}<button data-beckon-event="cart_add">Add</button>
    <form data-beckon-event="search"></form><meta ${order}></section>`);
  at(page, 'button').click();
  at(page, 'section').click();
  at(page, 'form').dispatchEvent(new (page.window.Event as never as typeof Event)('submit', { bubbles: true }));
  at(page, 'section').insertAdjacentHTML('beforeend', view);
  await settled();
  assert.deepEqual(page.told, []);
  page.window.document.body.insertAdjacentHTML('beforeend', view);
  await settled();
  assert.deepEqual(page.told, [['product_view', { product: 'mug' }]]);
});

test('nothing nested leaves an element that a review may hold, so that nothing else is refused with it', () => {
  const page = withEvents(`<i data-beckon-event="cart_view" data-beckon-on="view" data-beckon-price='{"a":1}' data-beckon-cart_value="25"
    data-beckon-items='${'['.repeat(20)}' content='{"value":1}'></i>`);
  assert.deepEqual(page.told, [['cart_view', { cart_value: 25, price: null }]]); // null is as good as nothing
});

test('an order that is no JSON stops no other element', () => {
  const page = withEvents(`<meta data-beckon-event="purchase" data-beckon-on="view" content="{order:1}"><i data-beckon-event="cart_view" data-beckon-on="view"></i>`);
  assert.deepEqual([page.told, page.words.length], [[['cart_view', {}]], 1]);
});

test('a view is told once, however often the page makes its element anew', async () => {
  const view = '<article data-beckon-event="product_view" data-beckon-on="view" data-beckon-product="mug"></article>';
  const page = withEvents(view);
  at(page, 'article').click();
  page.window.document.body.append('more');
  await settled();
  page.window.document.body.innerHTML = view;
  await settled();
  assert.deepEqual(page.told, [['product_view', { product: 'mug' }]]);
});

test('views follow the pages of an app: the old one is not told again, the new one is, and the old one when it comes back', async () => {
  const view = (product: string): string => `<article data-beckon-event="product_view" data-beckon-on="view" data-beckon-product="${product}"></article>`;
  const page = withEvents(view('mug'));
  const { body } = page.window.document;
  const go = async (path: string, product: string): Promise<void> => {
    page.window.history.pushState({}, '', path);
    body.append('waiting'); // the old page is still there
    await settled();
    body.innerHTML = view(product);
    await settled();
  };
  await go('/bowl', 'bowl');
  await go('/mug', 'mug');
  at(page, 'article').setAttribute('data-beckon-product', 'cup');
  await settled();
  assert.deepEqual(page.told.map(([, props]) => props?.product), ['mug', 'bowl', 'mug', 'cup']);
});

test('a page that comes back from the cache is a new view', () => {
  const page = withEvents('<p data-beckon-event="cart_view" data-beckon-on="view"></p>');
  const back = (persisted: boolean): boolean =>
    page.window.dispatchEvent(new page.window.PageTransitionEvent('pageshow', { persisted }));
  back(false);
  back(true);
  assert.deepEqual(page.told, [['cart_view', {}], ['cart_view', {}]]);
});

test('a field called "elements" costs the field, not the event; what else goes wrong reaches only the developer', async () => {
  const page = withEvents(`<form data-beckon-event="cart_add" data-beckon-product="mug" data-beckon-quantity="field:quantity">
    <input name="elements"><input name="quantity" value="2"></form>`);
  Object.defineProperty(at(page, 'form'), 'elements', { value: at(page, 'input') }); // as browsers have it
  page.window.addEventListener('error', ({ error }) => assert.fail(error));
  at(page, 'form').dispatchEvent(new (page.window.Event as never as typeof Event)('submit', { bubbles: true }));
  assert.deepEqual(page.told, [['cart_add', { product: 'mug' }]]);
  Object.assign(page.window.document, { querySelectorAll: {} });
  page.window.document.body.append('more');
  await settled();
  assert.equal(page.words.length, 1);
});

test('only a meta has content: a field or a template of that name costs nothing, nor does content that is empty or no object', () => {
  const page = withEvents(`<form data-beckon-event="cart_add" data-beckon-product="mug"><input name="content" value="1"></form>
    <template data-beckon-event="cart_view" data-beckon-on="view"></template>
    ${['', 'content=""', 'content="null"', 'content="5"'].map((content, i) => `<meta data-beckon-event="product_view" data-beckon-on="view" data-beckon-product="${i}" ${content}>`).join('')}`);
  Object.defineProperty(at(page, 'form'), 'content', { value: at(page, 'input') }); // as browsers have it
  at(page, 'form').dispatchEvent(new (page.window.Event as never as typeof Event)('submit', { bubbles: true }));
  assert.deepEqual(page.told, [
    ['cart_view', {}],
    ...['0', '1', '2', '3'].map((product) => ['product_view', { product }]),
    ['cart_add', { product: 'mug' }],
  ]);
  assert.deepEqual(page.words, []);
});
