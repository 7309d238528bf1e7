import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { JSDOM } from 'jsdom';
import { settled } from './clock';

const { version, exports, files, types, publishConfig, ...rest } = JSON.parse(readFileSync('package.json', 'utf8'));

test('what would be published is what a bundler and its types need, and nothing of ours besides', () => {
  const [packed] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  const paths: string[] = packed.files.map(({ path }: { path: string }) => path);
  for (const needed of ['README.md', 'LICENSE', 'package.json', 'dist/b.js', 'dist/b.parts.js', exports['.'].import, exports['.'].types, types]) {
    assert.ok(paths.includes(needed.replace('./', '')), `${needed} is not packed`);
  }
  for (const path of paths) assert.match(path, /^(lib\/|dist\/[\w.-]+\.js$|dist\/RELEASE$|README\.md|SIZES\.md|package\.json|LICENSE)/, path);
  assert.equal(packed.version, version);
  assert.equal(readFileSync('LICENSE', 'utf8'), readFileSync('../LICENSE', 'utf8'));
  assert.deepEqual([publishConfig, rest.license, rest.private], [{ access: 'public' }, 'Apache-2.0', undefined]);
  assert.ok(files.every((file: string) => file.includes('*') || existsSync(file)));
});

test('the module does nothing on a server, and in a browser what was called early goes with the first request', async () => {
  const { init, beckon } = (await import(`${process.cwd()}/lib/beckon.js`)) as typeof import('../src/esm');
  init({ site: 'demo', endpoint: '/px' });
  beckon('page_view');
  assert.deepEqual(await beckon.decision(), { eligible: false, reason: 'ERROR' });
  assert.equal('window' in globalThis, false);

  const { window } = new JSDOM('', { url: 'https://shop.example/a' });
  const sent: { url: string; body: string }[] = [];
  const answer = async (url: string, { body }: { body: string }): Promise<Response> => {
    sent.push({ url, body });
    return url.includes('decision')
      ? Response.json({ site: 'demo', eligible: false, offer: null, reason: 'DEFAULT' })
      : new Response(null, { status: 204, headers: { 'Beckon-Lane': 'count; default' } });
  };
  Object.assign(window, { navigation: new window.EventTarget() });
  const { document, location, history, navigator, sessionStorage, CustomEvent } = window;
  for (const [name, value] of Object.entries({ window, document, location, history, navigator, sessionStorage, CustomEvent, fetch: answer })) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true }); // newer Nodes have a navigator of their own
  }
  beckon('product_view', { product: 'mug' });
  beckon.consent({ measure: true });
  const decision = beckon.decision();
  init({ site: 'demo', endpoint: '/px/', hash: '/#/' });
  init({ site: 'other', endpoint: '/px' }); // once is enough
  while (!sent.length) await settled(); // there are no parts here, which takes a while to find out
  assert.deepEqual(sent[0]!.url, 'https://shop.example/px/e');
  const batch = JSON.parse(sent[0]!.body);
  assert.deepEqual([batch.s, batch.c.measure, batch.e.map(({ n }: { n: string }) => n)], ['demo', true, ['page_view', 'product_view']]);
  assert.equal((await decision).reason, 'DEFAULT');
  assert.equal(typeof window.beckon?.decision, 'function');
});
