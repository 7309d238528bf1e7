import { listen, together, type Stop } from './listen';

/**
 * Calls `run` whenever this may be the page's last moment. Phones often say only `visibilitychange`,
 * closing a visible tab in some browsers says only `pagehide`, so `run` must bear being called twice.
 */
export function whenHidden(run: () => void): Stop {
  return together(
    listen(document, 'visibilitychange', () => {
      if (document.visibilityState === 'hidden') run();
    }),
    listen(window, 'pagehide', run),
  );
}
