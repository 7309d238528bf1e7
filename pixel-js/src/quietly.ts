import { beckon } from './start';

/**
 * The same function, except that it never throws nor rejects: a fault of ours must not stop the shop's
 * own code. It runs at once, up to its first `await`.
 */
export const quietly =
  <A, B, R>(run: (a: A, b: B) => R) =>
  (a?: A, b?: B): Promise<Awaited<R> | undefined> =>
    (async () => run(a as A, b as B))().catch((fault) => beckon.debug(fault)) as never;

/** Listens ahead of the page's own listeners. */
export const listen = (target: EventTarget, type: string, run: (event: never) => void): void =>
  target.addEventListener(type, quietly(run) as unknown as EventListener, true);
