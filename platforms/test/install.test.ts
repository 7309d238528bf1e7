import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

const page = (name: string): string => readFileSync(`../docs/install/${name}.md`, 'utf8');
const source = (path: string): string => readFileSync(path, 'utf8');
const all = (text: string, what: RegExp): string[] => [...text.matchAll(what)].map(([, found]) => found!).sort();

test('the settings of the pixel are those of its page, of its manifest and of its code', () => {
  const pixel = 'shopify/extensions/beckon-pixel';
  const manifest = all(source(`${pixel}/shopify.extension.toml`), /^\[settings\.fields\.(\w+)\]$/gm);
  assert.deepEqual(all(page('shopify'), /^ {3}\| `(\w+)` \|/gm), manifest);
  assert.deepEqual([...new Set(all(source(`${pixel}/src/index.ts`), /settings\['(\w+)'\]/g))], manifest);
});

test('the options of the plugin are those of its page and of its code, and all of them go with it', () => {
  const options = all(source('woocommerce/beckon/includes/settings.php'), /^\t'(beckon_\w+)' +=>/gm);
  assert.deepEqual(all(page('woocommerce'), /^ {3}\| `(\w+)` \|/gm), options);
  assert.deepEqual(all(page('woocommerce'), /^ {3}\| `\w+` \| `(\w+)` \|/gm), options.map((name) => name.toUpperCase()));
  assert.deepEqual(all(source('woocommerce/beckon/uninstall.php'), /'(beckon_\w+)'/g), [...options, 'beckon_jwks'].sort());
});

test('the events that a page promises are those of its code', () => {
  const kinds = (text: string): string[] => [...new Set(all(text, /\b(product_view|collection_view|search|cart_view|cart_add|cart_remove|checkout_start|purchase|refund)\b/g))];
  const php = readdirSync('woocommerce/beckon/includes').map((file) => source(`woocommerce/beckon/includes/${file}`)).join('\n');
  const promised = (name: string): string[] => kinds(/\n## What it does\n([\s\S]*?)\n##? /.exec(page(name))![1]!);
  assert.deepEqual(promised('woocommerce'), kinds(php));
  assert.deepEqual(promised('bigcommerce'), kinds(source('bigcommerce/tag.html')));
});

test('what shows it, and what it leads to, is there', () => {
  for (const name of ['shopify', 'woocommerce', 'bigcommerce']) {
    const text = page(name);
    const known = all(/\n## How this is known\n([\s\S]*)$/.exec(text)![1]!, /`([\w/.-]+\.(?:ts|go))`/g);
    assert.ok(known.length >= 2);
    for (const file of known) assert.ok(existsSync(`../${file}`), file);
    for (const link of all(text, /\]\((\.\.\/[^)#]+)/g)) assert.ok(existsSync(`../docs/install/${link}`), link);
    for (const [, file, heading] of text.matchAll(/\]\(\.\.\/([\w.]+\.md)#([\w-]+)\)/g)) {
      const headings = all(readFileSync(`../docs/${file}`, 'utf8'), /^#+ (.*)$/gm).map((h) => h.toLowerCase().replace(/[^\w -]/g, '').replace(/ /g, '-'));
      assert.ok(headings.includes(heading!), `${file}#${heading}`);
    }
  }
});
