/**
 * A UUIDv7 (RFC 9562): 48 bits of time in milliseconds, then chance. Not `crypto.randomUUID`: that
 * one carries no time and does not exist on plain http.
 */
export function uuidv7(now: number): string {
  const time = now.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7xxx-yxxx-xxxxxxxxxxxx`.replace(/[xy]/g, (place) => {
    const chance = crypto.getRandomValues(new Uint8Array(1))[0]!;
    return (place < 'y' ? chance & 15 : 8 | (chance & 3)).toString(16);
  });
}
