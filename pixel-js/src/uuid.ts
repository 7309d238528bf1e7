/**
 * A UUIDv7 (RFC 9562): 48 bits of time in milliseconds, then chance. Chance is the end of the random
 * UUID that each browser puts into the address of a blob, also on plain http, where there is no
 * `crypto.randomUUID`.
 */
export const uuidv7 = (now: number): string =>
  `${`0${now.toString(16)}`.replace(/.{8}/, '$&-')}-7${URL.createObjectURL(new Blob()).slice(-21)}`;
