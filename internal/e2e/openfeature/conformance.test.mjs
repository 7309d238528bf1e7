// The official clients of OpenFeature against a running aggregator, as a shop would use them: see openfeature_test.go,
// which starts it and says in the environment where it is and who asks.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { OpenFeature } from '@openfeature/web-sdk';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { OpenFeature as ServerOpenFeature } from '@openfeature/server-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OFREPApi } from 'ofrep-core-2';

const { BECKON_URL: baseUrl, BECKON_LIMITED_URL: limitedUrl, BECKON_COOKIE: cookie, BECKON_ORIGIN: origin, BECKON_KEY: key, BECKON_VISIT: visit } = process.env;
const browser = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36';
const none = { none: true };

// as is what a browser adds to a request of a page; it keeps the status of each answer.
function as(headers, statuses = []) {
  return async (request, init) => {
    const asked = new Request(request);
    for (const [name, value] of Object.entries({ 'User-Agent': browser, ...headers })) asked.headers.set(name, value);
    const answer = await fetch(asked, init);
    statuses.push(answer.status);
    return answer;
  };
}

let providers = 0;

// page is a page's OpenFeature client, once its provider is ready, or the error of a provider that cannot be.
async function page(headers, context, { statuses, ...options } = {}) {
  const domain = `page-${providers++}`;
  const provider = new OFREPWebProvider({ baseUrl, cacheMode: 'disabled', fetchImplementation: as(headers, statuses), ...options });
  await OpenFeature.setProviderAndWait(domain, provider, context);
  return Object.assign(OpenFeature.getClient(domain), { domain, provider });
}

after(() => Promise.all([OpenFeature.close(), ServerOpenFeature.close()]));

test('same host: the visitor with a cookie has the offer', async () => {
  const client = await page({ Cookie: cookie }, { site: 'demo' });
  const got = client.getObjectDetails('welcome-back', none);
  assert.equal(got.errorCode, undefined);
  assert.equal(got.reason, 'TARGETING_MATCH');
  assert.equal(got.variant, 'treatment');
  assert.equal(got.value.percent, 10);
  assert.match(got.value.token, /^[\w-]+\.[\w-]+\.[\w-]+$/);
  assert.ok(new Date(got.value.expires_at) > new Date());
  assert.match(got.flagMetadata.decision_id, /^[0-9a-f]{32}$/);
  assert.match(got.flagMetadata.rule, /^welcome-back@/);
  assert.equal(got.flagMetadata.detail, 'TARGETING_MATCH');
});

test('another host, with credentials: the origin says which site', async () => {
  const client = await page({ Cookie: cookie, Origin: origin }, {});
  assert.equal(client.getObjectValue('welcome-back', none).percent, 10);
});

test('without credentials, as the client asks by itself: the default, and no error', async () => {
  const client = await page({}, { site: 'demo', targetingKey: visit });
  const got = client.getObjectDetails('welcome-back', none);
  assert.deepEqual(got.value, none);
  assert.equal(got.errorCode, undefined);
  assert.equal(got.reason, 'DEFAULT');
  assert.equal(got.variant, undefined);
  assert.equal(typeof got.flagMetadata.detail, 'string');
});

test('a flag of another type, and one that is not there', async () => {
  const client = await page({ Cookie: cookie }, { site: 'demo' });
  assert.equal(client.getBooleanDetails('welcome-back', false).errorCode, 'TYPE_MISMATCH');
  assert.equal(client.getObjectDetails('welcome-bach', none).errorCode, 'FLAG_NOT_FOUND');
});

test('unchanged flags are not sent again, and stay', async () => {
  const statuses = [];
  const client = await page({ Cookie: cookie }, { site: 'demo' }, { statuses });
  const before = client.getObjectValue('welcome-back', none);
  await OpenFeature.setContext(client.domain, { site: 'demo', page: 2 });
  assert.deepEqual(statuses, [200, 304]);
  assert.deepEqual(client.getObjectValue('welcome-back', none), before);
});

test('who may not ask is told so for good', async () => {
  for (const headers of [{ Authorization: 'Bearer wrong' }, { 'X-API-Key': 'wrong' }, { Origin: 'https://evil.example' }]) {
    await assert.rejects(page(headers, { site: 'demo' }), { code: 'PROVIDER_FATAL' });
  }
});

test('a context without a site of ours is an error that can be mended', async () => {
  await assert.rejects(page({}, { site: 'nowhere' }), { code: 'GENERAL' });
});

test('who asks too often is told when to come again, and keeps what is there', async () => {
  const statuses = [];
  const client = await page({ Cookie: cookie }, { site: 'demo' }, { statuses, baseUrl: limitedUrl });
  const before = client.getObjectValue('welcome-back', none);
  for (let n = 0; n < 100 && statuses.at(-1) !== 429; n++) await OpenFeature.setContext(client.domain, { site: 'demo', n });
  assert.equal(statuses.at(-1), 429);
  assert.deepEqual(client.getObjectValue('welcome-back', none), before);
  const asked = statuses.length;
  await OpenFeature.setContext(client.domain, { site: 'demo', again: true });
  assert.equal(statuses.length, asked, 'the client asks before the time that Retry-After says');
});

test('one flag alone, with the core of the official clients', async () => {
  const api = new OFREPApi({ baseUrl }, as({ Cookie: cookie }));
  const got = await api.postEvaluateFlag('welcome-back', { context: { site: 'demo' } });
  assert.equal(got.httpStatus, 200);
  assert.equal(got.value.value.percent, 10);
  const all = await api.postBulkEvaluateFlags({ context: { site: 'demo' } });
  assert.deepEqual(all.value.flags.find((f) => f.key === 'welcome-back'), got.value);
  for (const [flag, context, status, code] of [
    ['welcome-bach', { site: 'demo' }, 404, 'FLAG_NOT_FOUND'],
    ['welcome-back', { site: 'nowhere' }, 400, 'INVALID_CONTEXT'],
  ]) {
    const failure = await api.postEvaluateFlag(flag, { context });
    assert.deepEqual([failure.httpStatus, failure.value.key, failure.value.errorCode], [status, flag, code]);
  }
});

test("a shop's back end, with the official server client", async () => {
  await ServerOpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl, headers: [['Authorization', `Bearer ${key}`], ['Beckon-Visitor', visit]] }));
  const got = await ServerOpenFeature.getClient().getObjectDetails('welcome-back', none, { site: 'demo' });
  assert.equal(got.errorCode, undefined);
  assert.equal(got.value.percent, 10);
});
