import type { Core } from '../core';

/** "Until when", and "take it away": for what else there is to say, the offer brings the words. */
const words: Record<string, readonly [until: string, dismiss: string]> = {
  de: ['gilt bis', 'Nein, danke'],
  en: ['until', 'No, thanks'],
  es: ['hasta el', 'No, gracias'],
  fr: ['jusqu\u2019au', 'Non, merci'],
  it: ['fino al', 'No, grazie'],
  nl: ['tot', 'Nee, bedankt'],
};

/**
 * Gives slots that have no template a plain one, in the language of the page, and copies the code when
 * it is clicked. It has no style: fonts, colours and direction are the page's.
 */
export default function card({ debug, guard, listen }: Core): void {
  const make = (tag: string, text: string, attributes: Record<string, string> = {}): HTMLElement => {
    const made = document.createElement(tag);
    for (const name of Object.keys(attributes)) made.setAttribute(`data-beckon-${name}`, attributes[name]!);
    made.textContent = text;
    return made;
  };

  const fill = (): void => {
    const [until, dismiss] = words[document.documentElement.lang.slice(0, 2)] ?? words['en']!;
    for (const slot of document.querySelectorAll('[data-beckon-offer]:empty')) {
      const no = make('button', dismiss, { tell: 'offer_dismissed' });
      const code = make('button', '', { text: 'code', tell: 'offer_accepted' });
      for (const button of [no, code]) button.setAttribute('type', 'button');
      const ends = make('p', `${until} `);
      ends.append(make('time', '', { text: 'expires' }));
      const root = make('div', '');
      root.append(make('strong', '', { text: 'title' }), ' ', code, ends, make('p', '', { text: 'disclosure' }), no);
      const template = document.createElement('template');
      template.content.append(root);
      slot.append(template);
    }
    // An offer need not have a code.
    for (const at of document.querySelectorAll<HTMLElement>('[data-beckon-offer] button:empty')) at.hidden = true;
  };

  listen(document, 'click', ({ target }) => {
    const code = (target as Element).closest('[data-beckon-offer] [data-beckon-text=code]');
    if (!code || code.closest('[data-beckon-ignore]')) return;
    const text = code.textContent!.replace(/ \u2713$/, '');
    navigator.clipboard.writeText(text).then(() => (code.textContent = `${text} \u2713`), debug);
  });
  new MutationObserver(guard(fill)).observe(document, { childList: true, subtree: true });
  fill();
}
