/**
 * The script element that brought us here is the whole configuration:
 *
 *     <script async src="/px/b.js" data-site="demo" data-endpoint="/px" data-debug></script>
 */
const element = document.currentScript as HTMLScriptElement | null;
export const data: DOMStringMap = element?.dataset ?? {};

export const site = data['site'] ?? '';

/** Prefix of the collector and of the decision service, without a slash at the end. */
export const endpoint = folder(data['endpoint'] ? `${data['endpoint']}/` : (element?.src ?? ''));

/** Nothing for people; true where a program drives the browser, as the browser itself says. */
export const driven = (): true | undefined => navigator.webdriver || undefined;

/** Tells the shop's developer what goes on, if asked to. */
export const debug = (...words: unknown[]): void => {
  if ('debug' in data) console.debug('beckon:', ...words);
};

/** `/px/b.js?v=1` is in `/px`; so is `/px/`. */
function folder(address: string): string {
  return address.replace(/\/*[^/?]*(\?.*)?$/, '');
}
