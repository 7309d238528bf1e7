import { address } from './address';
import { listen, together, type Stop } from './listen';
import { quietly } from './quietly';

/**
 * Calls `view` for the page that is there and for each one that takes its place without a load: by
 * the history API when path or query really changed (routers replace the state for many other
 * reasons), and when the browser brings the page back from its back/forward cache. Only the first one
 * has a referrer; the others come from this site.
 */
export function watchPages(view: (referrer?: string) => void): Stop {
  let seen = address();
  const look = (): void => {
    if (seen !== (seen = address())) view();
  };
  view(document.referrer);
  return together(
    afterCall('pushState', look),
    afterCall('replaceState', look),
    listen(window, 'popstate', look),
    listen(window, 'pageshow', (event) => {
      if ((event as PageTransitionEvent).persisted) view();
    }),
  );
}

/** Runs `then` after each call of a history method, which itself does what it always did. */
function afterCall(method: 'pushState' | 'replaceState', then: () => void): Stop {
  const original = history[method];
  const quiet = quietly(then);
  const ours: History['pushState'] = function (this: History, ...args) {
    original.apply(this, args);
    quiet();
  };
  history[method] = ours;
  return () => {
    // Somebody may have wrapped us in turn; theirs is not ours to take away.
    if (history[method] === ours) history[method] = original;
  };
}
