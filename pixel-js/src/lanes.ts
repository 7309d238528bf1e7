import type { Core } from './core';

/**
 * Which words of a consent vocabulary must all be granted before a visitor may be in a lane. The rules
 * behind it, and the reason for each word, are in docs/consent.md, whose tables a test holds against these:
 * rows of lane `decide` are in traffic reports too, so `decide` asks for all that `measure` does.
 */
export interface Lanes {
  readonly decide: string;
  readonly measure: string;
}

/** Google Consent Mode v2. */
export const google: Lanes = {
  decide: 'ad_storage ad_personalization analytics_storage',
  measure: 'analytics_storage',
};

/** Shopify's Customer Privacy API. */
export const shopify: Lanes = {
  decide: 'marketing analytics sale_of_data',
  measure: 'analytics',
};

/** Purposes of the IAB's TCF. */
export const tcf: Lanes = {
  decide: '1 3 4 7 8 9',
  measure: '8 9',
};

const optOuts = 'SaleOptOut SharingOptOut TargetedAdvertisingOptOut Gpc';

/** Opt-outs of the US sections of the IAB's GPP: granted is what was not opted out of. */
export const gpp: Lanes = { decide: optOuts, measure: optOuts };

/**
 * Returns the function that tells the core what a vendor's answers come to, whenever that is another
 * thing than before. `granted` judges a word; `data-consent-decide` and `data-consent-measure` replace
 * our lists, `data-consent-version` the version that the vendor knows.
 */
export function teller(
  { data, consent }: Core,
  src: string,
): (lanes: Lanes, granted: (word: string) => boolean, ver?: string, at?: number) => void {
  let told = '';
  return (lanes, granted, ver, at) => {
    const allows = (words: string): boolean => words.trim().split(/\s+/).every(granted);
    const choice = {
      decide: allows(data['consentDecide'] ?? lanes.decide),
      measure: allows(data['consentMeasure'] ?? lanes.measure),
      src,
      ver: (data['consentVersion'] || ver || '').slice(0, 64),
    };
    if (told !== (told = JSON.stringify(choice))) consent({ ...choice, ...(at && { at }) });
  };
}
