import type { Core } from '../core';
import { google, teller } from '../lanes';
import { watchLayer } from '../watchLayer';

/**
 * Google Consent Mode v2, by what the page says to `gtag('consent', ...)`. An `update` is the visitor's
 * word. A `default` is the shop's: it speaks for a visitor only where an update leaves something out, a
 * denial of it whatever other defaults say, a grant only where it is for all regions.
 */
export default function consentGoogle(core: Core): void {
  const tell = teller(core, 'google');
  const state = new Map<string, unknown>();
  let updated = false;
  watchLayer(core, ({ 0: command, 1: what, 2: words }) => {
    if (command !== 'consent' || !words || typeof words !== 'object') return;
    const update = what === 'update';
    if (!update && (what !== 'default' || updated)) return;
    updated = update;
    for (const [word, value] of Object.entries(words)) {
      if (update || value === 'denied' || !(state.has(word) || 'region' in words)) state.set(word, value);
      if (word === 'wait_for_update') setTimeout(core.ready, value as number);
    }
    if (update) tell(google, (word) => state.get(word) === 'granted');
  });
}
