// Tells Beckon what the page is and what the shopper does with the cart; at the checkout it brings a link token, so
// that the server can tell the order in the visitor's name. Stores nothing, and throws nothing into the page.
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

  // What waits on the server. It forgets what we say that we have told; one tab at a time, so that nothing is told twice.
  const alone = (work) => (navigator.locks ? navigator.locks.request('beckon-waiting', work) : work());
  const tellWaiting = async () => {
    let waiting = { last: 0 };
    do {
      const reply = await post('beckon_events', { done: waiting.last });
      if (!reply.ok) return;
      waiting = await reply.json();
      tell(waiting.events);
    } while (waiting.events.length);
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
  if (!link) return;
  let joined;
  const join = async (wanted) => {
    if (joined === wanted) return;
    joined = wanted;
    let k = '';
    if (wanted) {
      const reply = await fetch(`${link.endpoint}/link?s=${encodeURIComponent(link.site)}`, { credentials: 'include' });
      if (!reply.ok) return;
      k = (await reply.json()).k;
    }
    await post('beckon_link', { k, nonce: link.nonce });
  };
  document.addEventListener('beckon:ack', ({ detail }) => {
    const lane = quietly(() => detail.lane.split(';')[0].trim());
    if (lane) join(lane === 'decide').catch(() => {});
  });
})();
