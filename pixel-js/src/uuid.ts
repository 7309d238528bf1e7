/**
 * A UUIDv7 (RFC 9562): 48 bits of time in milliseconds, then chance. Chance is the end of the random
 * UUID that each browser puts into the address of a blob, also on plain http, where there is no
 * `crypto.randomUUID`. The time has eleven digits until the year 2527.
 */
export const uuidv7 = (now: number): string =>
  now.toString(16).replace(/.{7}/, '0$&-') + '-7' + URL.createObjectURL(new Blob()).slice(-21);
