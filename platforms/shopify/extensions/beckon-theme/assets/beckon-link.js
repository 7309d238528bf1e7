/**
 * Joins what Shopify's web pixel sees to the visitor, who is known here and not there: asks the collector for
 * a link token (docs/reference.md, "Link tokens") and leaves it in the cart, whose attributes the pixel gets
 * with each cart and checkout. The token can be written with and never reads; it lasts seven days.
 *
 * It is asked for in lane `decide` only, once in a tab's session, and taken out of the cart as soon as the
 * collector answers from another lane. Nothing here throws into the page.
 */
(() => {
  'use strict';
  const { site, endpoint, linked } = document.currentScript.dataset;
  const kept = `beckon-link-${site}`;
  const renewAfter = 12 * 60 * 60 * 1000; // ms; a token's session lasts 24 h at most
  const missedAfter = 3000; // ms; an answer that is not there by then came before us
  let inCart = linked !== undefined;
  let asked = false;
  let answered = false;

  const quietly = (work) => {
    try {
      return work();
    } catch {
      return undefined; // storage that is blocked, a page that has changed what we call
    }
  };

  /** The token of this tab, or nothing. */
  const known = () =>
    quietly(() => {
      const { k, at } = JSON.parse(sessionStorage.getItem(kept));
      return Date.now() - at < renewAfter ? k : undefined;
    });

  const toPixel = (k) => quietly(() => window.Shopify.analytics.publish('beckon_link', { k }));

  const toCart = async (k) => {
    const root = quietly(() => window.Shopify.routes.root) || '/';
    const reply = await fetch(`${root}cart/update.js`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ attributes: { _beckon: k } }),
    });
    if (reply.ok) inCart = k !== '';
  };

  const join = async () => {
    if (asked) return;
    asked = true;
    let k = known();
    if (!k) {
      const reply = await fetch(`${endpoint}/link?s=${encodeURIComponent(site)}`, { credentials: 'include' });
      if (!reply.ok) {
        asked = false; // no visitor yet: the next answer may bring one
        return;
      }
      k = (await reply.json()).k;
      inCart = false; // what is there is older
      quietly(() => sessionStorage.setItem(kept, JSON.stringify({ k, at: Date.now() })));
    }
    toPixel(k);
    if (!inCart) await toCart(k);
  };

  const leave = async () => {
    asked = false;
    const was = inCart || known();
    quietly(() => sessionStorage.removeItem(kept));
    if (!was) return;
    toPixel('');
    await toCart('');
  };

  document.addEventListener('beckon:ack', ({ detail }) => {
    const lane = quietly(() => detail.lane.split(';')[0].trim());
    answered = true;
    if (lane) void (lane === 'decide' ? join() : leave()).catch(() => {});
  });

  // Before the tag's first answer, so that the page's first events are joined.
  if (known()) void join().catch(() => {});
  if (quietly(() => window.beckon.decision)) setTimeout(() => answered || void join().catch(() => {}), missedAfter);
})();
