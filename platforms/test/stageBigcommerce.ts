/** Prints what internal/e2e serves: pages for who has allowed all, and for who has allowed analytics only. */
import { pages, personal, render, scripts, storefront } from './bigcommerce';

const list = scripts(process.env['BECKON_ENDPOINT'] ?? 'https://px.shop.example');
const rendered = async (allowed: typeof list): Promise<Record<string, string>> =>
  Object.fromEntries(await Promise.all(Object.entries(pages).map(async ([path, context]) => [path, await render(allowed, context)] as const)));

console.log(JSON.stringify({ scripts: list, all: await rendered(list), analytics: await rendered(list.slice(0, 1)), storefront, personal }));
