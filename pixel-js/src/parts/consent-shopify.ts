import type { Core } from '../core';
import { shopify, teller } from '../lanes';
import { whenThere } from '../whenThere';

interface Shopify {
  loadFeatures?: (features: { name: string; version: string }[], done: (error?: unknown) => void) => void;
  customerPrivacy?: Record<string, () => unknown>;
}

const version = '0.1';

const questions: Record<string, string> = {
  analytics: 'analyticsProcessingAllowed',
  marketing: 'marketingAllowed',
  preferences: 'preferencesProcessingAllowed',
  sale_of_data: 'saleOfDataAllowed',
};

/**
 * Shopify's Customer Privacy API. Its questions are answered for everybody, also by the settings of a
 * shop that asks nobody; we listen when the visitor has answered something.
 */
export default function consentShopify(core: Core): void {
  const tell = teller(core, 'shopify');
  const find = (): Shopify | undefined => (window as { Shopify?: Shopify }).Shopify;
  const look = (): void => {
    const api = find()?.customerPrivacy;
    const answers = Object.values(api?.['currentVisitorConsent']?.() ?? {});
    if (!answers.some((answer) => answer === 'yes' || answer === 'no')) return core.ready();
    tell(shopify, (word) => api?.[questions[word] ?? '']?.() === true, version);
  };
  core.listen(document, 'visitorConsentCollected', look);
  whenThere(
    core,
    () => find()?.loadFeatures && find(),
    (found) =>
      found.loadFeatures?.(
        [{ name: 'consent-tracking-api', version }],
        core.guard((error) => {
          if (error) core.debug(error);
          look();
        }),
      ),
  );
}
