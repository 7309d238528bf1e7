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
  let inCart = linked !== undefined; // our token, for sure
  let left = inCart; // a token that cart or pixel may have
  let answered = false;
  let allowed; // by the last answer
  let joined; // true and false once that has been done, or is being done
  let writes = Promise.resolve(); // one after the other: the last word must be the last to arrive

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

  const toCart = (k) => {
    const wanted = k !== '';
    const write = async () => {
      if (joined !== wanted) return; // the visitor has chosen anew
      inCart = false; // what is there is older, or about to go
      const root = quietly(() => window.Shopify.routes.root) || '/';
      const reply = await fetch(`${root}cart/update.js`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ attributes: { _beckon: k } }),
      });
      if (!reply.ok) throw reply.status;
      inCart = left = wanted;
    };
    writes = writes.catch(() => {}).then(write);
    return writes;
  };

  const join = async () => {
    if (joined === true) return;
    joined = true;
    try {
      let k = known();
      if (!k) {
        const reply = await fetch(`${endpoint}/link?s=${encodeURIComponent(site)}`, { credentials: 'include' });
        if (!reply.ok) throw reply.status; // no visitor yet: the next answer may bring one
        k = (await reply.json()).k;
        if (joined !== true) return; // the visitor has chosen anew
        inCart = false; // what is there is older
        quietly(() => sessionStorage.setItem(kept, JSON.stringify({ k, at: Date.now() })));
      }
      left = true;
      toPixel(k);
      if (!inCart) await toCart(k);
    } catch {
      if (joined === true) joined = undefined; // the next answer tries again
    }
  };

  const leave = async (again = false) => {
    if (joined === false) return;
    joined = false;
    left = left || known() !== undefined;
    quietly(() => sessionStorage.removeItem(kept));
    if (!left) return;
    toPixel('');
    try {
      await toCart('');
    } catch {
      if (joined !== false) return;
      joined = undefined; // the next answer tries again, or we do where none comes
      if (!again) setTimeout(() => allowed === false && leave(true), missedAfter);
    }
  };

  document.addEventListener('beckon:ack', ({ detail }) => {
    const lane = quietly(() => detail.lane.split(';')[0].trim());
    answered = true;
    if (!lane) return;
    allowed = lane === 'decide';
    void (allowed ? join() : leave());
  });

  // Before the tag's first answer, so that the page's first events are joined.
  if (known()) void join();
  if (quietly(() => window.beckon.decision)) setTimeout(() => answered || void join(), missedAfter);
})();
