#!/usr/bin/env node
// scripts.mjs ENDPOINT SITE: prints the two bodies for POST /v3/content/scripts of BigCommerce's API, one a line.
import { readFileSync } from 'node:fs';

const [endpoint, site] = process.argv.slice(2);
if (!/^https?:\/\/[^\s'"<>]+$/.test(endpoint ?? '') || !/^[\w-]+$/.test(site ?? '')) {
  console.error('usage: scripts.mjs https://px.shop.example SITE');
  process.exit(2);
}

/** The copy-paste snippet with the shop's own two lines. */
const html = (file) =>
  readFileSync(new URL(file, import.meta.url), 'utf8')
    .replace("'https://px.shop.example'", `'${endpoint.replace(/\/+$/, '')}'`)
    .replace("site = 'demo'", `site = '${site}'`);

const script = (name, description, file, consent_category) => ({
  name, description, html: html(file), kind: 'script_tag', load_method: 'default', location: 'head', visibility: 'all_pages', auto_uninstall: true, enabled: true, consent_category,
});

for (const body of [
  script('Beckon', 'Counts what happens in the shop', 'tag.html', 'analytics'),
  script('Beckon offers', 'Allows personalised offers where the visitor does', 'offers.html', 'targeting'),
]) {
  console.log(JSON.stringify(body));
}
