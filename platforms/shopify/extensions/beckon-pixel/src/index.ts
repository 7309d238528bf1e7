/**
 * Beckon's web pixel: hears Shopify's standard events and tells the collector what they mean, without
 * anything that names a person. It has no cookie and no origin; what joins it to the visitor is the link
 * token that the theme puts into the cart (`_beckon`). Without one nothing is sent. This file is the
 * drawing: address.ts, choice.ts, eventId.ts, events.ts and sender.ts are one idea each.
 */
import { register } from '@shopify/web-pixels-extension';
import type { CustomEvent, ExtensionApi } from '@shopify/web-pixels-extension';
import { isCheckout, page, referrer } from './address';
import { answered, decideWords, permitted } from './choice';
import { eventId } from './eventId';
import { attributesOf, kinds, linkOf, propsOf, type Heard } from './events';
import { startSender } from './sender';

register(({ analytics, customerPrivacy, init, settings }: ExtensionApi) => {
  const site = String(settings['site'] ?? '');
  const endpoint = String(settings['endpoint'] ?? '').replace(/\/+$/, '');
  if (!site || !endpoint) return;

  const sender = startSender(`${endpoint}/e`, site);
  const words = String(settings['decide'] || decideWords);

  if (settings['consent'] !== 'own') {
    sender.choose(permitted(init.customerPrivacy, words));
    customerPrivacy.subscribe('visitorConsentCollected', ({ customerPrivacy: now }) =>
      sender.choose(answered(now, words, Date.now())),
    );
  }

  sender.link(linkOf(init.data.cart?.attributes));
  // The theme says it as soon as it has one, which on the first page is after the first events.
  analytics.subscribe('beckon_link', (event) => {
    const k = (event as CustomEvent).customData?.['k'];
    if (typeof k === 'string') sender.link(k);
  });

  for (const name of Object.keys(kinds) as (keyof typeof kinds)[]) {
    analytics.subscribe(name, (event) => {
      const heard = event as Heard;
      if (name === 'page_viewed' && settings['pages'] !== 'all' && !isCheckout(heard.context.document.location)) return;
      sender.link(linkOf(attributesOf(heard)));
      const at = Date.parse(heard.timestamp);
      const t = at > 0 ? at : Date.now();
      sender.push({
        n: kinds[name],
        i: eventId(heard.id, t),
        t,
        u: page(heard.context.document.location),
        r: referrer(heard.context.document.referrer),
        p: propsOf(heard),
      });
    });
  }
});
