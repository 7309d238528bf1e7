/**
 * The tag: tells the collector what happens on this page and asks for the visitor's discount. It
 * stores nothing in the browser (the visitor cookie is the collector's, out of reach of scripts) and
 * never gets in the shop's way. This file is the drawing; each part is a file named after its idea.
 */
import { address } from './address';
import type { Beckon, Consent } from './api';
import { startDecider } from './decider';
import { listen, together, type Stop } from './listen';
import { partsOf, wanted } from './parts';
import { quietly } from './quietly';
import { startSender } from './sender';
import { data, debug, endpoint, site } from './tag';
import { uuidv7 } from './uuid';
import { watchPages } from './watchPages';
import { whenActivated } from './whenActivated';
import { whenHidden } from './whenHidden';
import { maxStringBytes, type Decision, type Kind, type Props } from './wire';

type Call = [name: string, detail?: unknown];

const start = quietly((early: { q?: Call[] } | undefined) => {
  const stops: Stop[] = [];
  const opened = new Promise<void>((open) => stops.push(whenActivated(open)));
  const sender = startSender(opened);
  const { decision, withdraw } = startDecider(opened, sender.answered);

  const tell = (kind: Kind, props?: Props, referrer?: string): void => {
    const now = Date.now();
    sender.push({
      n: kind,
      i: uuidv7(now),
      t: now,
      u: address().slice(0, maxStringBytes),
      r: referrer?.slice(0, maxStringBytes) || undefined,
      p: props,
    });
  };

  const consent = quietly(({ decide, measure, src, ver, at = Date.now() }: Consent) => {
    if (decide !== true) withdraw();
    sender.choose({ decide: decide === true, measure: measure === true, src, ver, at });
  });

  const command = quietly((...[name, detail]: Call) => {
    if (name === 'consent') consent(detail as Consent);
    else if (name === 'decision') void decision().then(quietly(detail as (d: Decision) => void));
    else tell(name as Kind, detail as Props);
  });

  const late = quietly((call: Call) => command(...call));

  window.beckon = Object.assign(command, {
    decision,
    consent,
    stop: quietly(() => together(...stops, sender.stop)()),
    q: { push: late }, // for a page that kept the stub
  }) as Beckon;

  const load = partsOf({
    site,
    endpoint,
    data,
    tell: quietly(tell),
    decision,
    consent,
    ready: () => {},
    lane: () => sender.lane(),
    debug,
    listen: (...what) => stops.push(listen(...what)),
  });
  const loadWanted = (): void => wanted().forEach(load);

  // Ahead of the first request, which takes the page view and all early calls along.
  void opened.then(
    quietly(() => {
      stops.push(
        watchPages((referrer) => {
          tell('page_view', undefined, referrer);
          loadWanted();
        }),
        listen(document, 'DOMContentLoaded', loadWanted),
        whenHidden(sender.leave),
        sender.leave,
      );
      early?.q?.forEach(late);
    }),
  );
});

if (!window.beckon?.decision) start(window.beckon as { q?: Call[] } | undefined);
