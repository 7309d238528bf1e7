import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Page, plain, stub } from './page';

const yes = { site: 'demo', eligible: true, offer: { id: 'welcome-back' }, reason: 'TARGETING_MATCH' };
const error = { eligible: false, reason: 'ERROR' };
const question = 'GET https://shop.example/px/v1/decision?site=demo&w=undefined';

/** Answers the first batch; the decision that waits for it is asked for within a twentieth of a second. */
const answered = async (page: Page, status?: number): Promise<void> => {
  await page.sent[0]!.answer(status);
  await page.clock.advance(50);
};

const asked = (page: Page): string[] =>
  page.sent.map(({ method, url }) => `${method} ${url}`).filter((line) => line.startsWith('GET'));

test('a decision waits for the first answered event, so that the visitor has a cookie', async () => {
  const page = await Page.open();
  const decision = page.beckon.decision();
  await page.clock.advance(900);
  assert.deepEqual(asked(page), []);
  await answered(page);
  assert.deepEqual(asked(page), [question]);
  assert.equal(page.last.init.credentials, 'include');
  await page.last.answer(200, yes);
  assert.deepEqual(plain(await decision), yes);
  assert.deepEqual(page.events.at(-1), { type: 'beckon:decision', detail: yes });
});

for (const webdriver of [true, false, undefined]) {
  test(`navigator.webdriver ${webdriver} is told with each question and batch`, async () => {
    const page = await Page.open({
      prepare: ({ navigator }) => Object.defineProperty(navigator, 'webdriver', { value: webdriver }),
    });
    assert.equal((page.last.batch as { w?: boolean }).w, webdriver);
    void page.beckon.decision();
    await answered(page);
    assert.deepEqual(asked(page), [question.replace('undefined', `${webdriver}`)]);
  });
}

test('a refused first event does not keep a decision waiting', async () => {
  const page = await Page.open();
  void page.beckon.decision();
  await answered(page, 403);
  assert.deepEqual(asked(page), [question]);
});

test('while the collector is silent, an older cookie may still do', async () => {
  const page = await Page.open();
  const decision = page.beckon.decision();
  await page.sent[0]!.fail();
  await page.clock.advance(1_000);
  const get = page.sent.find(({ method }) => method === 'GET');
  await get!.answer(200, yes);
  assert.deepEqual(plain(await decision), yes);
});

test('calls that overlap share one question, later ones ask again', async () => {
  const page = await Page.atRest();
  const first = page.beckon.decision();
  const second = page.beckon.decision();
  await page.clock.advance(0);
  assert.equal(asked(page).length, 1);
  await page.last.answer(200, yes);
  assert.equal(await first, await second);
  assert.equal(page.events.length, 1);
  void page.beckon.decision();
  await page.clock.advance(0);
  assert.equal(asked(page).length, 2);
});

for (const [name, act] of [
  ['no answer', (page: Page) => page.clock.advance(2_000)],
  ['a network error', (page: Page) => page.last.fail()],
  ['a problem', (page: Page) => page.last.answer(404, { title: 'unknown site' })],
  ['an outage', (page: Page) => page.last.answer(503, yes)],
] as const) {
  test(`${name} is an answer too: not eligible, ERROR`, async () => {
    const page = await Page.atRest();
    const decision = page.beckon.decision();
    await page.clock.advance(0);
    await act(page);
    assert.deepEqual(plain(await decision), error);
    assert.deepEqual(page.events, [{ type: 'beckon:decision', detail: error }]);
    assert.deepEqual(page.errors, []);
  });
}

test('a decision asked for before the script was there is given to the callback', async () => {
  const page = await Page.open({
    html: `${stub}<script>beckon('decision', function (d) { window.given = d })</script>`,
  });
  await answered(page);
  await page.last.answer(200, yes);
  assert.deepEqual(plain(page.window['given']), yes);
});

test('a page rendered ahead of time has its three seconds when it is seen', async () => {
  const page = await Page.open({ prerendering: true });
  const decision = page.beckon.decision();
  await page.clock.advance(60_000);
  await page.activate();
  await answered(page);
  await page.last.answer(200, yes);
  assert.deepEqual(plain(await decision), yes);
});

test('a decision after a choice waits until the collector knows the choice', async () => {
  const page = await Page.atRest();
  page.beckon.consent({ decide: true });
  void page.beckon.decision();
  await page.clock.advance(0);
  assert.deepEqual(asked(page), []);
  await answered(page);
  assert.deepEqual(asked(page), [question]);
});

/** A page with parts, which see to a withdrawal: any with a slot has them. */
const withParts = { attributes: { 'data-use': 'refresh' } };

test('a withdrawal ends a personalised decision before anything is sent', async () => {
  const page = await Page.atRest(withParts);
  void page.beckon.decision();
  await page.clock.advance(0);
  await page.last.answer(200, { ...yes, personalised: true });
  const sent = page.sent.length;
  page.beckon('consent', { measure: true });
  assert.deepEqual(page.events.at(-1), { type: 'beckon:decision', detail: { eligible: false, offer: null, reason: 'NO_CONSENT' } });
  assert.equal(page.sent.length, sent);
});

test('a withdrawal leaves what everyone gets', async () => {
  const page = await Page.atRest(withParts);
  void page.beckon.decision();
  await page.clock.advance(0);
  await page.last.answer(200, { ...yes, personalised: false });
  page.beckon.consent({ measure: true });
  assert.equal(page.events.length, 1);
});

test('an answer that comes after a choice, to what was asked before it, gives nothing, whoever is quicker', async () => {
  const page = await Page.atRest();
  const decision = page.beckon.decision();
  await page.clock.advance(0);
  const question = page.last;
  page.beckon.consent({ measure: true });
  await page.clock.advance(0);
  await page.last.answer(); // the collector knows the choice
  await question.answer(200, { ...yes, personalised: true });
  assert.deepEqual(plain(await decision), error);
});

test('a decision after a choice is asked anew, whatever is on its way', async () => {
  const page = await Page.atRest();
  const before = page.beckon.decision();
  await page.clock.advance(0);
  const question = page.last;
  page.beckon.consent({ decide: true, measure: true });
  const after = page.beckon.decision();
  await page.clock.advance(0);
  await page.last.answer();
  await page.clock.advance(50);
  await page.last.answer(200, yes);
  await question.answer(200, { ...yes, reason: 'DEFAULT' });
  assert.deepEqual([plain(await after), plain(await before)], [yes, error]);
});
