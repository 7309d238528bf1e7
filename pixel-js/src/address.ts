/** The page, without its fragment: that part is the page's own business and may hold secrets. */
export function address(): string {
  return location.origin + location.pathname + location.search;
}
