import type { Core } from './core';

/** The same function for others to call: what it throws is told to the shop's developer, not to them. */
export function guard<A extends unknown[]>(core: Pick<Core, 'debug'>, run: (...args: A) => void): (...args: A) => void {
  return (...args) => {
    try {
      run(...args);
    } catch (fault) {
      core.debug(fault);
    }
  };
}
