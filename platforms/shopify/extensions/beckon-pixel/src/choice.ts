/** What `c` of a batch says. */
export interface Choice {
  readonly decide: boolean;
  readonly measure: boolean;
  readonly src: 'shopify';
  readonly ver: '0.1';
  readonly at?: number;
}

/** Shopify's permissions, as it calls them in a pixel. */
export interface Permissions {
  readonly analyticsProcessingAllowed: boolean;
  readonly marketingAllowed: boolean;
  readonly preferencesProcessingAllowed: boolean;
  readonly saleOfDataAllowed: boolean;
}

/** Which words must all be granted for lane `decide`: the tag's own reading (docs/consent.md), unless the shop has another. */
export const decideWords = 'marketing analytics sale_of_data';

/** What the visitor has just answered, with the time of it. */
export function answered(p: Permissions, words: string, at: number): Choice {
  const granted: Record<string, boolean> = {
    analytics: p.analyticsProcessingAllowed,
    marketing: p.marketingAllowed,
    preferences: p.preferencesProcessingAllowed,
    sale_of_data: p.saleOfDataAllowed,
  };
  const decide = words.trim().split(/\s+/).every((word) => granted[word] === true);
  return { decide, measure: p.analyticsProcessingAllowed, src: 'shopify', ver: '0.1', at };
}

/**
 * What is permitted when a page loads. It can be what the visitor once answered, or what a region permits
 * without asking: so it may lower what the link token brings along, and never raise it.
 */
export function permitted(p: Permissions, words: string): Choice | undefined {
  const { at: _unknown, ...choice } = answered(p, words, 0);
  return choice.decide ? undefined : choice;
}
