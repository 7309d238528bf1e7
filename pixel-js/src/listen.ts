import { quietly } from './quietly';

/** Undoes what the function that returned it has done. */
export type Stop = () => void;

export function listen(target: EventTarget, type: string, run: (event: Event) => void): Stop {
  const quiet = quietly(run);
  target.addEventListener(type, quiet);
  return () => target.removeEventListener(type, quiet);
}

/** One stop for all of these. */
export function together(...stops: Stop[]): Stop {
  return () => stops.forEach((stop) => stop());
}
