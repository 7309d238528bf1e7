import { debug } from './tag';

/** The same function, except that it never throws: a fault of ours must not stop the shop's own code. */
export function quietly<A extends unknown[]>(run: (...args: A) => void): (...args: A) => void {
  return (...args) => {
    try {
      run(...args);
    } catch (fault) {
      debug(fault);
    }
  };
}
