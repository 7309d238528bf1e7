import type { Core } from './core';

/**
 * Calls `use` with what `find` finds: now, or at one of nine later looks, each twice as far off as the
 * one before. Who has not come after 25 s is not waited for.
 */
export function whenThere<T>(core: Core, find: () => T | undefined, use: (found: T) => void): void {
  const look = (pause: number): void => {
    const found = find();
    if (found) use(found);
    else if (pause < 20_000) setTimeout(core.guard(look), pause, pause * 2);
  };
  look(50);
}
