import type { Core } from '../core';
import type { Decision, Kind, Offer } from '../wire';

const seenFor = 1_000; // ms with half of it in view: who scrolls past has not seen it

/** A decision, flat: `data-beckon-text` names any of it. */
type Facts = Partial<
  Decision &
    Offer & {
      /** When it ends, as people here write it. */
      expires: string;
      /** Tells this offer from any other. Empty, when there is nothing to show. */
      mark: string | null;
    }
>;

/** What was told of which offer. */
interface Memory {
  _bk_offer: string;
}

/**
 * Shows the visitor's offer in the page's slots: what is in the slot's template comes to stand beside
 * it, and goes with the offer. Tells when it is seen, accepted and dismissed, each once in this tab.
 * All that comes from outside goes in as text, and the slot keeps its box: the page reserves the room.
 *
 *     <div data-beckon-offer role="status"><template> one element </template></div>
 */
export default function offer({ decision, lane, listen, tell }: Core): void {
  const page: Memory = { _bk_offer: '' };
  let memory = page; // the tab's, where the lane and the browser allow it
  let facts: Facts = {};

  const once = (kind: Kind): void => {
    const entry = kind + facts.mark;
    if (memory._bk_offer.includes(entry)) return;
    memory._bk_offer += entry;
    tell(kind, { offer: facts.id!, decision: facts.decision_id! });
  };

  const draw = (template: HTMLTemplateElement): void => {
    for (const root of [...(template.content.cloneNode(true) as DocumentFragment).children] as HTMLElement[]) {
      let timer: ReturnType<typeof setTimeout>;
      const look = (): void => {
        if (!document.hidden) once('offer_shown');
        else timer = setTimeout(look, seenFor);
      };
      for (const at of root.querySelectorAll<HTMLInputElement>('[data-beckon-text]')) {
        // The value is for the fields of a form. What says nothing is left empty, for the page's style to hide.
        at.textContent = at.value = (facts[at.dataset['beckonText'] as keyof Facts] as string) || '';
      }
      // That a price is personal has to be told, so it is, if the template has no place for it.
      if (!root.textContent!.includes(facts.disclosure!)) root.append(facts.disclosure!);
      template.after(root);
      root.onclick = ({ target }) => {
        const at = (target as Element).closest<HTMLElement>('[data-beckon-tell]');
        if (at) once(at.dataset['beckonTell'] as Kind);
        take(facts as Decision);
      };
      new IntersectionObserver(
        (changes) => {
          clearTimeout(timer);
          if (changes.pop()!.intersectionRatio >= 0.5) timer = setTimeout(look, seenFor);
        },
        { threshold: 0.5 },
      ).observe(root);
    }
  };

  /** Fills the slots that are for this offer and have nothing but their template. */
  const show = (): void => {
    if (facts.mark) {
      document
        .querySelectorAll<HTMLTemplateElement>(
          `[data-beckon-offer=""]>template:only-child,[data-beckon-offer="${facts.id}"]>template:only-child`,
        )
        .forEach(draw);
    }
  };

  const take = (next: Decision): void => {
    const ends = new Date(next.expires_at!);
    const now: Facts = {
      ...next.offer,
      ...next,
      expires: ends.toLocaleString([], { dateStyle: 'short', timeStyle: 'short' }),
      disclosure: (next.personalised && next.disclosure) || '',
    };
    now.mark = next.offer && now.id! + next.decision_id;
    memory = page;
    try {
      if (/decide/.test(lane()!)) {
        sessionStorage['_bk_offer'] ??= '';
        memory = sessionStorage as unknown as Memory;
      } else if (lane()) delete sessionStorage['_bk_offer'];
    } catch {
      // storage is blocked
    }
    if (memory._bk_offer.includes('offer_dismissed' + now.mark)) now.mark = '';
    if (next.reason === 'ERROR' || now.mark === facts.mark) return; // what is shown is signed, until its end
    document.querySelectorAll('[data-beckon-offer]>template~*').forEach((root) => root.remove());
    facts = now;
    if (now.mark) {
      setTimeout(decision, +ends - Date.now()); // brings word that it is over
      show();
    }
  };

  listen(document, 'beckon:decision', (event) => take((event as CustomEvent<Decision>).detail));
  new MutationObserver(show).observe(document, { childList: true, subtree: true });
  void decision();
}
