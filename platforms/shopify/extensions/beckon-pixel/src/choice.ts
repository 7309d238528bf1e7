/** What `c` of a batch says. */
export interface Choice {
  readonly decide: boolean;
  readonly measure: boolean;
  readonly src: 'shopify';
  readonly at?: number;
}

/** Shopify's four permissions. */
export interface Permissions {
  readonly analyticsProcessingAllowed: boolean;
  readonly marketingAllowed: boolean;
  readonly preferencesProcessingAllowed: boolean;
}

/** What the visitor has just answered, with the time of it. */
export function answered(p: Permissions, personal: unknown, at: number): Choice {
  const decide = p.analyticsProcessingAllowed && (personal === 'marketing' ? p.marketingAllowed : p.preferencesProcessingAllowed);
  return { decide, measure: p.analyticsProcessingAllowed, src: 'shopify', at };
}

/**
 * What is permitted when a page loads. It can be what the visitor once answered, or what a region permits
 * without asking: so it may lower what the link token brings along, and never raise it.
 */
export function permitted(p: Permissions, personal: unknown): Choice | undefined {
  const { decide, measure, src } = answered(p, personal, 0);
  return decide ? undefined : { decide, measure, src };
}
