/**
 * JSON of what the value itself says. A page's prototypes may have a `toJSON`; the replacer goes by
 * what was there before it was asked.
 */
export const json = (value: unknown): string =>
  JSON.stringify(value, function (this: Record<string, unknown>, key) {
    return this[key];
  });
