import type { Core } from '../core';
import { tcf, teller } from '../lanes';
import { whenThere } from '../whenThere';

interface TCData {
  readonly eventStatus: 'tcloaded' | 'cmpuishown' | 'useractioncomplete';
  readonly gdprApplies?: boolean;
  readonly tcString: string;
  readonly tcfPolicyVersion: number;
  readonly cmpId: number;
  readonly cmpVersion: number;
  readonly purpose: { readonly consents: Readonly<Record<string, boolean>> };
}

type Api = (command: 'addEventListener', version: 2, heard: (data: TCData, ok: boolean) => void) => void;

/**
 * The IAB's TCF (2.2 to 2.4, whose interface is the same). While the banner is up, or where the GDPR does
 * not apply, the visitor has said nothing. A consent counts, a legitimate interest does not.
 */
export default function consentTcf(core: Core): void {
  const tell = teller(core, 'tcf');
  const heard = (data: TCData, ok: boolean): void => {
    const status = ok && data.gdprApplies !== false && data.eventStatus;
    const stored = status === 'tcloaded';
    if (!stored && status !== 'useractioncomplete') return core.ready();
    tell(
      tcf,
      (purpose) => data.purpose.consents[purpose] === true,
      `${data.tcfPolicyVersion}/${data.cmpId}.${data.cmpVersion}`,
      stored ? lastUpdated(data.tcString) : 0,
    );
  };
  whenThere(
    core,
    () => (window as { __tcfapi?: Api }).__tcfapi,
    (api) => api('addEventListener', 2, core.guard(heard)),
  );
}

/**
 * The day on which a TC string was made, 0 when it does not say: 36 bits of tenths of a second, which are the
 * six digits of base64url behind the seventh.
 */
function lastUpdated(tcString: string): number {
  const digits = /^.{7}([\w-]{6})/.exec(tcString)?.[1] ?? '';
  const bytes = atob(`AA${digits || 'AA'}`.replace(/-/g, '+').replace(/_/g, '/'));
  return 100 * [...bytes].reduce((sum, byte) => sum * 256 + byte.charCodeAt(0), 0);
}
