/**
 * The UUIDv7 of an event of Shopify's: made of its own id and time, so that one that is delivered twice is
 * known again. Shopify's id is random; all that is needed here is to keep its bits apart, so the mixing is
 * no cryptography (which a sandbox may not have).
 */
export function eventId(id: string, ms: number): string {
  const time = hex(Math.max(0, Math.floor(ms)), 12);
  const [a, b, c] = [mix(id, 0x9e3779b9), mix(id, 0x85ebca6b), mix(id, 0xc2b2ae35)];
  const variant = '89ab'.charAt(a & 3);
  return [time.slice(0, 8), time.slice(8), `7${hex(a >>> 4, 7).slice(-3)}`, variant + hex(b, 8).slice(-3), hex(c, 8) + hex((a ^ b) >>> 0, 8).slice(0, 4)].join('-');
}

const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, '0');

/** 32 bits of the text: multiply and rotate, as in MurmurHash3. */
function mix(text: string, seed: number): number {
  let h = seed;
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 0xcc9e2d51);
    h = (h << 13) | (h >>> 19);
  }
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
