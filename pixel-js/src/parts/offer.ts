import type { Core } from '../core';

import type { Decision, Kind, Offer } from '../wire';

const seenFor = 1_000; // ms with half of it in view: who scrolls past has not seen it

/** A decision, flat, and `expires`: when it ends, as people here write it. `data-beckon-text` names any of it. */
type Facts = Partial<Decision & Offer & { expires: string }>;

/**
 * Shows the visitor's offer in the page's slots: what is in the slot's template comes to stand beside
 * it, and goes with the offer. Tells when it is seen, accepted and dismissed, each once in this tab.
 * All that comes from outside goes in as text, and the slot keeps its box: the page reserves the room. A slot within
 * `data-beckon-ignore`, where visitors write, is none.
 *
 *     <div data-beckon-offer role="status"><template> one element </template></div>
 */
export default function offer({ decision, guard, lane, listen, tell }: Core): void {
  let told = ''; // what of which offer, by this page or in the lane decide by this tab
  let mark = ''; // tells the offer that is shown from any other
  let facts: Facts;

  const once = (kind: Kind): void => {
    if (told.includes(kind + mark)) return;
    told += kind + mark;
    tell(kind, { offer: facts.id!, decision: facts.decision_id! });
    take(facts as Decision);
  };

  const draw = (template: HTMLTemplateElement): void => {
    if (!template.closest('[data-beckon-ignore]')) for (const root of [...(template.content.cloneNode(true) as DocumentFragment).children] as HTMLElement[]) {
      let timer: ReturnType<typeof setTimeout>;
      const look = guard(() => {
        if (!document.hidden) once('offer_shown');
        else timer = setTimeout(look, seenFor);
      });
      for (const at of root.querySelectorAll<HTMLInputElement>('[data-beckon-text]')) {
        // The value is for the fields of a form. What says nothing is left empty, for the page's style to hide.
        at.textContent = at.value = (facts[at.dataset['beckonText'] as keyof Facts] as string) || '';
      }
      // That a price is personal has to be told, so it is, if the template has no place for it.
      if (!root.textContent!.includes(facts.disclosure!)) root.append(facts.disclosure!);
      template.after(root);
      listen(root, 'click', ({ target }) => {
        const at = (target as Element).closest<HTMLElement>('[data-beckon-tell]');
        if (at) once(at.dataset['beckonTell'] as Kind);
      });
      new IntersectionObserver(
        guard((changes: IntersectionObserverEntry[]) => {
          clearTimeout(timer);
          if (changes.pop()!.intersectionRatio >= 0.5) timer = setTimeout(look, seenFor);
        }),
        { threshold: 0.5 },
      ).observe(root);
    }
  };

  /** Fills the slots that are for this offer and have nothing but their template. */
  const show = (): void => {
    if (mark) {
      document
        .querySelectorAll<HTMLTemplateElement>(
          `[data-beckon-offer=""]>template:only-child,[data-beckon-offer="${facts.id}"]>template:only-child`,
        )
        .forEach(draw);
    }
  };

  const take = (next: Decision): void => {
    if (next.reason === 'ERROR') return; // what is shown is signed, until its end, which the part refresh tells
    guard(() => {
      // It may be blocked, or full: then the page alone remembers. No site's id has a dot, so no queue has this name.
      // A withdrawal is known before any reply names the lower lane.
      if (next.reason !== 'NO_CONSENT' && /^d/.test(lane()!)) {
        const kept: string = sessionStorage['_bk.offer'] || '';
        if (!told.includes(kept)) told += kept;
        sessionStorage['_bk.offer'] = told;
      } else delete sessionStorage['_bk.offer'];
    })();
    let now = next.offer ? next.offer.id + next.decision_id : '';
    if (told.includes('offer_dismissed' + now)) now = '';
    if (mark === (mark = now)) return;
    document.querySelectorAll('[data-beckon-offer]>template~*').forEach((root) => root.remove());
    facts = {
      ...next.offer,
      ...next,
      expires: new Date(next.expires_at!).toLocaleString([], { dateStyle: 'short', timeStyle: 'short' }),
      disclosure: (next.personalised && next.disclosure) || '',
    };
    show();
  };

  listen(document, 'beckon:decision', (event) => take((event as CustomEvent<Decision>).detail));
  new MutationObserver(guard(show)).observe(document, { childList: true, subtree: true });
  void decision();
}
