/** Prints what internal/e2e plays in a browser: `@LINK@` stands for the token that the cart will have. */
import { bundle } from './sandbox';
import { theme } from './liquid';
import { init, personal, visit } from './shopifyEvents';

const settings = { endpoint: process.env['BECKON_ENDPOINT'] ?? '/px', site: 'demo', consent: 'shopify', decide: '' };
const page = (attributes: Record<string, string>): string => theme({ settings, attributes, assets: '/' });

console.log(
  JSON.stringify({
    pixel: bundle(),
    head: page({}),
    linkedHead: page({ _beckon: 'is there' }),
    init: init('@LINK@'),
    noLinkInit: init(undefined),
    events: Object.values(visit('@LINK@', Date.now())),
    personal,
  }),
);
