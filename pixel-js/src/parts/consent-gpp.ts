import type { Core } from '../core';
import { gpp, tcf, teller } from '../lanes';
import { whenThere } from '../whenThere';

interface Ping {
  readonly gppVersion: string;
  readonly cmpId: number;
  readonly signalStatus: 'ready' | 'not ready';
  readonly cmpDisplayStatus: 'hidden' | 'visible' | 'disabled';
  readonly applicableSections: readonly number[];
  /** By the sections' names; each an object, or a list of one for each segment. */
  readonly parsedSections?: Readonly<Record<string, object | readonly object[]>>;
}

type Api = (command: 'addEventListener', heard: (event: { pingData: Ping }, ok: boolean) => void) => void;

const tcfeuv2 = 2; // number of that section
const usnat = 7; // of the first US section

/**
 * The IAB's GPP 1.1. Of US sections all that are there count, not only the applicable one: an opt-out under
 * one law, or a known child, is one under all. Nobody who was not asked has opted in. The section of the
 * European TCF is read as in consent-tcf.
 */
export default function consentGpp(core: Core): void {
  const tell = teller(core, 'gpp');
  const tellTcf = teller({ ...core, data: {} }, 'gpp'); // the page's own lists are for US words
  const read = ({ gppVersion, cmpId, applicableSections: ids, parsedSections = {} }: Ping): void => {
    const version = `${gppVersion}/${cmpId}`;
    const fields = (name: RegExp): [string, unknown][] =>
      Object.keys(parsedSections)
        .filter((section) => name.test(section))
        .flatMap((section) => parsedSections[section] ?? [])
        .flatMap(Object.entries);

    if (ids.includes(tcfeuv2)) {
      const consents = fields(/^tcfeu/).find(([field]) => field === 'PurposeConsents')?.[1] as boolean[];
      if (consents) return tellTcf(tcf, (purpose) => consents[Number(purpose) - 1] === true, version);
    }
    const us = ids.some((id) => id >= usnat) ? fields(/^us(?!p)/) : [];
    const known = (word: string): boolean => gpp.decide.split(' ').includes(word);
    const child = us.some(([field, value]) => /^KnownChild/.test(field) && [value].flat().some(Number));
    const out = (word: string): boolean => us.some(([field, value]) => field === word && (value === 1 || value === true));
    const asked = us.some(([field, value]) => known(field) && Number(value) > 0);
    if (child || asked) tell(gpp, (word) => !child && known(word) && !out(word), version);
    else core.ready();
  };
  whenThere(
    core,
    () => (window as { __gpp?: Api }).__gpp,
    (api) =>
      api('addEventListener', core.guard(({ pingData }, ok) => {
        if (ok && pingData.signalStatus === 'ready') read(pingData);
        else if (!ok || pingData.cmpDisplayStatus === 'visible') core.ready();
      })),
  );
}
