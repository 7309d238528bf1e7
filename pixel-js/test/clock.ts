/** Time that stands still until a test moves it. */
export class Clock {
  now = Date.UTC(2026, 4, 4, 10, 0, 0);
  #timers = new Map<number, { at: number; run: () => void }>();
  #last = 0;

  setTimeout = (run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]): number => {
    const pause = ms > 0x7fffffff ? 1 : ms; // as browsers have it
    this.#timers.set(++this.#last, { at: this.now + pause, run: () => run(...args) });
    return this.#last;
  };

  clearTimeout = (id?: number): void => {
    if (id !== undefined) this.#timers.delete(id);
  };

  /** Moves on by `ms`, running what falls due, each at its own moment. */
  async advance(ms: number): Promise<void> {
    const end = this.now + ms;
    await settled();
    for (;;) {
      const due = [...this.#timers].sort((a, b) => a[1].at - b[1].at)[0];
      if (!due || due[1].at > end) break;
      this.#timers.delete(due[0]);
      this.now = due[1].at;
      due[1].run();
      await settled();
    }
    this.now = end;
  }
}

/** Resolves when no promise has anything left to do. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
