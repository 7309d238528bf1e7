// Small facts that last as long as the tab: which offer was seen, how many events were acknowledged.
// A browser may forbid storage; then every page starts anew.

export function recall(key) {
  try {
    return sessionStorage.getItem(`tarn.${key}`) ?? '';
  } catch {
    return '';
  }
}

export function remember(key, value) {
  try {
    sessionStorage.setItem(`tarn.${key}`, value);
  } catch {
    // see above
  }
}
