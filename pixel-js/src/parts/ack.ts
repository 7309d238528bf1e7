import type { Core } from '../core';
import { watchRequests } from '../watchRequests';
import { laneHeader, type Batch, type Receipt } from '../wire';

/** Tells the page with the DOM event `beckon:ack` what became of each batch that the collector has taken. */
export default function ack({ debug, endpoint }: Core): void {
  watchRequests(endpoint, (body) => async (reply) => {
    if (!body || typeof reply !== 'object' || !reply.ok) return;
    try {
      const receipt: Receipt =
        reply.status === 204 ? { accepted: (JSON.parse(body as string) as Batch).e.length, dropped: [] } : await reply.json();
      const detail = { ...receipt, lane: reply.headers.get(laneHeader) };
      document.dispatchEvent(new CustomEvent('beckon:ack', { detail }));
    } catch (fault) {
      debug(fault);
    }
  });
}
