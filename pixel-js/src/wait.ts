/** Resolves as the promise does, or to nothing after that time: what hangs must not hang us. */
export const wait = <T>(milliseconds: number, promise?: Promise<T>): Promise<T | undefined> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
    void promise?.then(resolve);
  });
