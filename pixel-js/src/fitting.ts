import { maxBatchUnits } from './wire';

/** The longest head of the queue that fits one request; at least one event, or nothing would ever move. */
export function fitting(queue: readonly string[]): readonly string[] {
  let units = 0;
  const end = queue.findIndex((event, i) => (units += event.length) > maxBatchUnits && i > 0);
  return end < 0 ? queue : queue.slice(0, end);
}
