// The offer: asks for a decision, shows it, and takes the token to the shop's back end when it is
// accepted. The three offer events are sent from here; all others come with the page.
import { whenAnnounced } from './announced.js';
import { refused } from './consent.js';
import { recall, remember } from './remember.js';

// ms after an acknowledged event: it is in the decision within 2 s, later on a machine that is busy.
const askAgainAfter = [1000, 2000, 5000, 10000];

const $ = (id) => document.getElementById(id);

export function watchOffer() {
  let shown; // the decision in the banner
  let ticking;
  let asking = [];

  const ask = () => {
    if (!refused()) window.beckon('decision', consider);
  };

  const consider = (decision) => {
    if (refused() || !decision.eligible || !decision.offer || !decision.token) return;
    if (decision.decision_id === $('offer').dataset.used) return; // Beckon hears of the order in a moment
    if (shown || recall('answered') === decision.decision_id) return;
    if (!(timeLeft(decision) > 0)) return;
    show(decision);
  };

  const show = (decision) => {
    shown = decision;
    asking.forEach(clearTimeout);
    const { title, min_cart_value, currency } = decision.offer;
    $('offer-title').textContent = title;
    tell('offer-conditions', Number(min_cart_value) > 0 && `From ${min_cart_value} ${currency ?? 'EUR'} in the cart.`);
    tell('offer-disclosure', decision.personalised && decision.disclosure);
    tell('offer-answer', '');
    $('offer-accept').hidden = $('offer-accept').disabled = false;
    $('offer-dismiss').textContent = 'No, thanks';
    tick();
    ticking = setInterval(tick, 1000);
    $('offer').hidden = false;
    $('offer-news').textContent = `An offer for this visit: ${title}.`; // the countdown itself is not read out
    if (recall('shown') !== decision.decision_id) {
      remember('shown', decision.decision_id);
      window.beckon('offer_shown', named(decision));
    }
  };

  const tick = () => {
    const left = timeLeft(shown);
    if (left <= 0) return hide();
    $('offer-ends').textContent = inWords(left);
    $('offer-ends').dateTime = shown.expires_at;
  };

  const hide = () => {
    clearInterval(ticking);
    $('offer').hidden = true;
    $('offer-news').textContent = '';
    shown = undefined;
  };

  $('offer-accept').addEventListener('click', async () => {
    const decision = shown;
    $('offer-accept').disabled = true;
    const answer = await take(decision.token);
    $('offer-accept').disabled = false;
    if (answer.code === 'accepted') {
      window.beckon('offer_accepted', named(decision));
      remember('answered', decision.decision_id);
      if (document.getElementById('sum-total')) {
        location.reload(); // cart and checkout show the new sum
        return;
      }
      $('offer-accept').hidden = true;
      $('offer-dismiss').textContent = 'Close';
      $('offer-dismiss').focus();
    }
    tell('offer-answer', answer.message);
    $('offer-answer').dataset.code = answer.code;
  });

  $('offer-dismiss').addEventListener('click', () => {
    const decision = shown;
    hide();
    if (recall('answered') === decision.decision_id) return; // accepted before; this only closes it
    remember('answered', decision.decision_id);
    window.beckon('offer_dismissed', named(decision));
  });

  // What the visitor does on this page may change the decision.
  whenAnnounced('beckon:ack', ({ accepted }) => {
    if (!accepted || shown) return;
    asking.forEach(clearTimeout);
    asking = askAgainAfter.map((wait) => setTimeout(ask, wait));
  });
  document.addEventListener('tarn:consent', ({ detail }) => {
    if (detail === 'decide') ask();
    else if (shown?.personalised) hide();
  });
  ask();
}

/** Hands the token to the shop. The answer is a code and a sentence, whatever happens. */
async function take(token) {
  try {
    const reply = await fetch('/offer', { method: 'POST', body: new URLSearchParams({ token }) });
    return await reply.json();
  } catch {
    return { code: 'no-answer', message: 'The shop did not answer. Please try again.' };
  }
}

const named = (decision) => ({ offer: decision.offer.id, decision: decision.decision_id });

const timeLeft = (decision) => Date.parse(decision.expires_at) - Date.now();

function inWords(ms) {
  const seconds = Math.floor(ms / 1000);
  const parts = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  const units = ['d', 'h', 'min', 's'];
  const first = Math.max(0, parts.findIndex((n) => n > 0));
  return parts.map((n, i) => `${n} ${units[i]}`).slice(first, first + 2).join(' ');
}

function tell(id, text) {
  $(id).textContent = text || '';
  $(id).hidden = !text;
}
