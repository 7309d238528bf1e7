import { listen, type Stop } from './listen';

/** Calls `run` now, or for a page that is rendered ahead of time when a person really comes to see it. */
export function whenActivated(run: () => void): Stop {
  if ((document as { prerendering?: boolean }).prerendering) {
    return listen(document, 'prerenderingchange', run);
  }
  run();
  return () => {};
}
