// Tells Beckon what the page is and what the shopper does with the cart; at the checkout it brings a link token, so
// that the server can tell the order in the visitor's name. Throws nothing into the page, and stores one number, in
// lane `decide` alone, until the tab is closed.
(() => {
  const quietly = (work) => {
    try {
      return work();
    } catch {
      return undefined;
    }
  };
  const page = quietly(() => JSON.parse(document.getElementById('beckon-page').textContent));
  if (!page || !window.beckon) return;
  const tell = (events) => events.forEach(([kind, props]) => window.beckon(kind, props));
  const post = (name, fields) =>
    fetch(page.ajax.replace('%%endpoint%%', name), { method: 'POST', credentials: 'same-origin', keepalive: true, body: new URLSearchParams(fields) });

  tell(page.events);

  // What waits on the server, by numbers that only grow. It is handed out until we say that we have told it, and that
  // word can be lost: so the last number is kept here too, for the next page where the visitor allows it.
  const TOLD = '_bk_shop';
  let last = quietly(() => Number(sessionStorage.getItem(TOLD))) || 0;
  let allowed;
  const keep = () => {
    if (last && allowed) quietly(() => sessionStorage.setItem(TOLD, last));
    else if (allowed === false) quietly(() => sessionStorage.removeItem(TOLD));
  };
  const alone = (work) => (navigator.locks ? navigator.locks.request('beckon-waiting', work) : work()); // one tab at a time
  const tellWaiting = async () => {
    for (let done = 0, nonce = ''; ; ) {
      const reply = await post('beckon_events', done ? { done, nonce } : {});
      if (!reply.ok) return;
      const waiting = await reply.json();
      const [newest = 0] = waiting.events.at(-1) || [];
      if (newest <= done) return;
      tell(waiting.events.filter(([number]) => number > last).map(([, ...call]) => call));
      last = Math.max(last, newest);
      keep();
      [done, nonce] = [newest, waiting.nonce];
    }
  };
  let asking = Promise.resolve();
  const fetchWaiting = () => {
    asking = asking.then(() => alone(tellWaiting)).catch(() => {});
  };
  // WooCommerce's own cookie says whether there is a cart; without one nothing can wait but on the shopper's own pages.
  if (page.own || document.cookie.includes('woocommerce_items_in_cart=')) fetchWaiting();
  for (const name of ['wc-blocks_added_to_cart', 'wc-blocks_removed_from_cart']) document.body.addEventListener(name, fetchWaiting);
  if (window.jQuery) quietly(() => window.jQuery(document.body).on('added_to_cart removed_from_cart updated_wc_div', fetchWaiting));

  const { link } = page;
  const missedAfter = 1000; // ms; an answer that is not there by then came before us, and a page that is paid on may send no more
  let answered = false;
  let joined; // true and false once the server has been told so, or is being told
  let posts = Promise.resolve(); // one after the other: the last word must be the last to arrive
  const join = async (wanted, again = false) => {
    if (!link || joined === wanted) return;
    joined = wanted;
    try {
      let k = '';
      if (wanted) {
        const reply = await fetch(`${link.endpoint}/link?s=${encodeURIComponent(link.site)}`, { credentials: 'include' });
        if (!reply.ok) throw reply.status; // no visitor yet: the next answer may bring one
        k = (await reply.json()).k;
      }
      posts = posts
        .catch(() => {}) // is another's
        .then(async () => {
          if (joined !== wanted) return; // the visitor has chosen anew
          const reply = await post('beckon_link', { k, nonce: link.nonce });
          if (!reply.ok) throw reply.status;
        });
      await posts;
    } catch {
      if (joined !== wanted) return;
      joined = undefined; // and the next answer tries again, which a withdrawal does not wait for
      if (!wanted && !again) setTimeout(() => allowed === false && join(false, true), missedAfter);
    }
  };
  document.addEventListener('beckon:ack', ({ detail }) => {
    const lane = quietly(() => detail.lane.split(';')[0].trim());
    if (!lane) return;
    answered = true;
    allowed = lane === 'decide';
    keep();
    void join(allowed);
  });
  if (link && window.beckon.decision) setTimeout(() => answered || join(true), missedAfter);
})();
