// The side panel "What Beckon sees". It reads the tag's events and, on a developer's machine, the
// shop's /dev/seen. It changes nothing that Beckon knows, except by the button at its end.
import { whenAnnounced } from './announced.js';
import { refused } from './consent.js';
import { recall, remember } from './remember.js';
import { byFeature, causes, featureName, featureValue, lanes, reasons } from './words.js';

const lookEvery = 3000; // ms
// ms after an acknowledged event. The tag asks after two seconds by itself; a machine that is busy may need longer.
const askAgainAfter = [5000, 10000];
const patience = 5000; // ms without any answer before the panel says so

const $ = (id) => document.getElementById(id);
const put = (id, text) => {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
};
const known = (text) => (text ? String(text) : 'not known');

export function watchPanel() {
  watchTomorrow();
  showTotal();
  const fresh = watchFreshness();
  const look = watchSeen(fresh);
  watchDoor(look);
  let answered = false;

  whenAnnounced('beckon:ack', (ack) => {
    answered = true;
    showAck(ack);
    look();
  });
  whenAnnounced('beckon:decision', (decision) => {
    answered ||= decision.reason !== 'ERROR';
    if (refused() && (decision.personalised || !decision.eligible)) return; // what everybody gets needs no consent
    showDecision(decision);
    fresh(decision.fresh_at);
    look(); // the gates are to be those of this decision
  });
  const respect = () => {
    if (!refused()) return;
    showDecision({ eligible: false, reason: 'NO_CONSENT' });
    showSeen({});
  };
  document.addEventListener('tarn:consent', respect);
  respect();
  watchAnswers();
  setTimeout(() => {
    if (!answered) showDecision({ eligible: false, reason: 'ERROR' });
  }, patience);
}

/** What the visitor does on this page may change the decision, and the panel is to show it, however late. */
function watchAnswers() {
  let asking = [];
  const ask = () => window.beckon('decision', () => {});
  whenAnnounced('beckon:ack', ({ accepted }) => {
    if (!accepted) return;
    asking.forEach(clearTimeout);
    asking = askAgainAfter.map((wait) => setTimeout(ask, wait));
  });
  document.addEventListener('tarn:consent', ask);
  ask();
}

/** The tag cannot say what the aggregator knows, so the shop's back end is asked. Returns the asking. */
function watchSeen(fresh) {
  let gone = false;
  const look = async () => {
    if (gone || document.hidden || !isOpen()) return;
    const reply = await fetch('/dev/seen').catch(() => undefined);
    gone = reply?.status === 404; // not a developer's machine
    if (!reply?.ok) return;
    const seen = await reply.json();
    showSeen(seen);
    fresh(seen.fresh_at);
  };
  look();
  setInterval(look, lookEvery);
  return look;
}

const wide = matchMedia('(min-width: 1180px)');
const isOpen = () => (wide.matches ? !document.body.classList.contains('panel-closed') : document.body.classList.contains('panel-open'));

/** Opens and closes. On a wide screen the choice is remembered; on a narrow one the panel covers the page. */
function watchDoor(opened) {
  const set = (open) => {
    document.body.classList.toggle('panel-open', open && !wide.matches);
    if (wide.matches) {
      document.body.classList.toggle('panel-closed', !open);
      document.cookie = `tarn_panel=${open ? 'open' : 'closed'}; path=/; max-age=31536000; samesite=lax`;
    }
    if (open) opened();
    (open ? $('panel-close') : $('panel-open')).focus({ preventScroll: true });
  };
  for (const opener of document.querySelectorAll('[data-panel-open]')) opener.addEventListener('click', () => set(true));
  $('panel-close').addEventListener('click', () => set(false));
  $('panel').addEventListener('keydown', (event) => {
    if (event.key === 'Escape') set(false);
  });
}

// The lane of the last acknowledged batch on this page. The aggregator knows a visitor by the cookie
// alone, and whoever refused has none: its own word for the lane would be the site's default.
let told;

function showAck({ accepted, dropped, lane }) {
  remember('acks', String(Number(recall('acks')) + accepted));
  showTotal();
  if (dropped?.length) put('seen-drops', `not counted: ${dropped.map((d) => d.reason).join(', ')}`);
  if (!lane) return;
  const words = lane.toLowerCase().split(/[^a-z-]+/); // a lane word, then its cause among others
  told = words[0];
  showLane(...words);
}

function showTotal() {
  const total = Number(recall('acks'));
  if (!total) return;
  put('seen-acks', `${total} acknowledged in this tab`);
  put('seen-drops', 'each one was on disk before the answer came');
}

function showLane(lane, ...words) {
  const cause = words.find((word) => word in causes);
  put('seen-lane', lanes[lane] ?? known(lane));
  if (cause) put('seen-cause', `because: ${causes[cause]}`);
}

function showDecision({ eligible, offer, arm, reason, expires_at, personalised }) {
  $('seen-verdict').dataset.state = eligible ? 'yes' : 'no';
  put('seen-decision', eligible ? `Yes: ${offer?.title ?? offer?.id ?? 'an offer'}` : reason === 'ERROR' ? 'No answer' : 'No offer');
  const words = [reasons[reason] ?? ''];
  if (eligible && expires_at) words.push(`Valid until ${new Date(expires_at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })}.`);
  if (eligible && personalised === false) words.push('The same for everyone.');
  put('seen-reason', words.join(' '));
  put('seen-code', arm ? `${known(reason)}, ${arm}` : known(reason));
}

function showSeen(seen) {
  const nobody = refused() || (told ?? 'decide') !== 'decide' || !seen.visitor;
  const { visitor, session, gates, features } = nobody ? {} : seen;
  const none = told === 'decide' && !refused() ? 'none yet' : 'none';
  put('seen-visitor', visitor || none);
  put('seen-session', session || none);
  if (visitor && !told) showLane(seen.lane, seen.cause);
  $('seen-gates').replaceChildren(...(gates?.length ? gates.map(gateRow) : [nothing('li', none)]));
  showFeatures(features ?? {}, none);
}

function nothing(tag, text) {
  const row = document.createElement(tag);
  row.className = 'unknown';
  row.textContent = text;
  return row;
}

function gateRow({ gate, offer, pass, detail }) {
  const row = document.createElement('li');
  row.className = pass ? 'yes' : 'no';
  const mark = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  mark.setAttribute('viewBox', '0 0 24 24');
  mark.setAttribute('role', 'img');
  mark.setAttribute('aria-label', pass ? 'open' : 'closed');
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  line.setAttribute('d', pass ? 'm4 12 6 6L20 6' : 'm6 6 12 12M18 6 6 18');
  mark.append(line);
  const name = document.createElement('span');
  name.textContent = offer ? `${known(gate)} · ${offer}` : known(gate);
  row.append(mark, name);
  if (detail) {
    const fine = document.createElement('span');
    fine.className = 'fine';
    fine.textContent = detail;
    row.append(fine);
  }
  return row;
}

let shownFeatures = {};

function showFeatures(features, none) {
  const before = shownFeatures;
  shownFeatures = {};
  const loud = [];
  const quiet = [];
  for (const [key, value] of Object.entries(features).sort(byFeature)) {
    const { text, quiet: little } = featureValue(key, value, $('panel').dataset.currency);
    const row = document.createElement('div');
    const name = document.createElement('dt');
    name.textContent = featureName(key);
    const shown = document.createElement('dd');
    shown.textContent = text;
    row.title = key;
    row.append(name, shown);
    if (key in before && before[key] !== text) row.className = 'changed';
    shownFeatures[key] = text;
    (little ? quiet : loud).push(row);
  }
  $('seen-features').replaceChildren(...(loud.length ? loud : [nothing('dt', none)]));
  $('seen-features-zero').replaceChildren(...quiet);
  $('seen-more').hidden = quiet.length === 0;
}

/** Keeps the age of the newest answer up to date. Returns the function that takes a newer one. */
function watchFreshness() {
  let newest = NaN;
  const tell = () => {
    const age = refused() ? NaN : (Date.now() - newest) / 1000;
    $('seen-verdict').dataset.fresh = age < 10 ? 'yes' : 'no';
    if (age >= 0) put('seen-fresh', age < 90 ? `fresh as of ${age.toFixed(1)} s ago` : `fresh as of ${Math.round(age / 60)} min ago`);
    if (refused()) put('seen-fresh', 'nothing of this visitor is looked at');
  };
  setInterval(tell, 500);
  return (at) => {
    const time = Date.parse(at ?? '');
    if (!(time < newest)) newest = time || newest;
    tell();
  };
}

const refusals = {
  400: 'Only a visitor with a cookie can come back. Allow personal offers first.',
  404: 'This collector has no such switch. A second visit begins after half an hour.',
};

/** A second visit without the wait: the collector's switch for developers starts a new session. */
function watchTomorrow() {
  const button = $('tomorrow');
  button?.addEventListener('click', async () => {
    button.disabled = true;
    const { site, endpoint } = document.querySelector('script[data-site]').dataset;
    const reply = await fetch(`${endpoint}/dev/tomorrow?s=${encodeURIComponent(site)}`, { method: 'POST' }).catch(() => undefined);
    if (reply?.ok) {
      location.assign('/');
      return;
    }
    button.disabled = false;
    button.hidden = reply?.status === 404;
    put('tomorrow-note', refusals[reply?.status] ?? 'Beckon did not answer. Please try again.');
  });
}
