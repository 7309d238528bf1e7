// The consent banner. The shop remembers the answer in its own cookie; Beckon is told at once.

const doubleClick = 600; // ms, a little above what systems take for one

/** Whether the visitor has answered with less than personal offers. Then nobody asks for a decision. */
export function refused() {
  const chosen = document.querySelector('#consent [aria-current]');
  return chosen !== null && chosen.value !== 'decide';
}

export function watchConsent() {
  const banner = document.getElementById('consent');
  const form = banner.querySelector('form');

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form, event.submitter));
    const reply = await fetch(form.action, { method: 'POST', body, headers: { Accept: 'application/json' } }).catch(() => undefined);
    if (!reply?.ok) {
      form.submit(); // the browser's own way shows what is wrong
      return;
    }
    window.beckon('consent', await reply.json());
    for (const button of form.elements) button.removeAttribute('aria-current');
    event.submitter.setAttribute('aria-current', 'true');
    banner.hidden = true;
    document.dispatchEvent(new CustomEvent('tarn:consent', { detail: body.get('choice') }));
    document.getElementById('main').focus({ preventScroll: true });
  });

  document.getElementById('consent-open').addEventListener('click', (event) => {
    event.preventDefault();
    banner.hidden = false;
    banner.inert = true; // the banner comes up below the pointer: a second click must not choose
    setTimeout(() => {
      banner.inert = false;
      banner.querySelector('button').focus();
    }, doubleClick);
  });
}
