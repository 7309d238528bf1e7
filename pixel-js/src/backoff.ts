const firstPause = 1_000;
const longestPause = 3_600_000; // also keeps a silly Retry-After from overflowing setTimeout, which would mean "at once"

/** How many times in a row we try before we keep still until there is something new to say. */
export const patience = 6;

/**
 * Milliseconds to keep still after the n-th failure in a row (n from 1): 1 s, 2 s, 4 s ... or what
 * the collector asked for if that is more, plus up to half of it again by chance, so that the
 * visitors of a shop do not all come back in one moment.
 */
export function backoff(failures: number, retryAfter: string): number {
  const asked = Number(retryAfter) * 1_000 || 0; // a date is allowed too, and is not worth its bytes
  const pause = Math.max(firstPause * 2 ** (failures - 1), asked);
  return Math.min(pause, longestPause) * (1 + Math.random() / 2);
}
