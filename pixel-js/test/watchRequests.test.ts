import assert from 'node:assert/strict';
import { test } from 'node:test';
import { watchRequests } from '../src/watchRequests';

test('only requests to the services are heard of, not those to an address as long', async () => {
  const sent: unknown[] = [];
  const fetch = async (): Promise<Response> => new Response('{}');
  const navigator = { sendBeacon: () => true };
  Object.assign(globalThis, { window: { fetch } });
  Object.defineProperty(globalThis, 'navigator', { configurable: true, value: navigator });
  watchRequests('/px', (body) => (sent.push(body), () => {}));
  for (const url of ['/px/e', '/px/v1/decision?site=demo', '/ab/e', '/ab/v1/decision', '/px/extra', 'e', { toString: () => assert.fail('asked') }]) {
    await window.fetch(url as string, { body: `to ${url === Object(url) ? 'an object' : url}` });
  }
  for (const url of ['/px/e', '/ab/e']) (navigator.sendBeacon as Navigator['sendBeacon'])(url, `by beacon to ${url}`);
  assert.deepEqual(sent, ['to /px/e', 'to /px/v1/decision?site=demo', 'by beacon to /px/e']);
});
