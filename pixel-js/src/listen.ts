import { quietly } from './quietly';

/** Undoes what the function that returned it has done. */
export type Stop = () => void;

/** Hears an event on its way down, so that a page which keeps its clicks to itself is heard too. */
export function listen(target: EventTarget, type: string, run: (event: Event) => void): Stop {
  const quiet = quietly(run);
  target.addEventListener(type, quiet, true);
  return () => target.removeEventListener(type, quiet, true);
}

/** One stop for all of these. */
export function together(...stops: Stop[]): Stop {
  return () => stops.forEach((stop) => stop());
}
