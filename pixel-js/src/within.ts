/** The promise, or a rejection when it takes longer. A request that hangs must not hang us. */
export function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  return Promise.race([
    promise,
    new Promise<never>((_, reject) => setTimeout(reject, milliseconds, 'no answer in time')),
  ]);
}
