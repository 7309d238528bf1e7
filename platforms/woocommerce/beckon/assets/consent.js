// What the visitor has answered in a banner that speaks the WP Consent API. Personalised offers need "marketing",
// whose definition there is profiles, beside what reports need. The answers are cookies, known before the API's own script has loaded; who has
// answered nothing has chosen nothing, whatever the API grants such visitors, and Beckon's own default holds.
(() => {
  const prefix = () => (window.consent_api && window.consent_api.cookie_prefix) || 'wp_consent';
  const answer = (category) => (document.cookie.match(`(?:^|; )${prefix()}_${category}=(allow|deny)`) || [])[1];
  const tell = () => {
    const [marketing, statistics, anonymous] = ['marketing', 'statistics', 'statistics-anonymous'].map(answer);
    if (!marketing && !statistics && !anonymous) return;
    const measure = statistics === 'allow' || anonymous === 'allow';
    beckon('consent', { decide: measure && marketing === 'allow', measure, src: 'wp-consent-api' });
  };
  tell();
  // The banner sets one category after the other: tell them as one answer.
  let told;
  document.addEventListener('wp_listen_for_consent_change', () => {
    clearTimeout(told);
    told = setTimeout(tell);
  });
})();
