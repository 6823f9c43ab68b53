import { sessionState } from '../../client/session-state.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { SessionSummary } from '../../operations/results.ts';
import type { SessionDialog } from '../state/dialog-model.ts';
import { stateText } from '../widgets/job-words.ts';
import type { Model } from '../state/model.ts';
import { fitted, type Line, line } from '../terminal/screen.ts';
import { logLines, logRows } from '../widgets/view-log.ts';
import { notKnown } from '../widgets/view-status.ts';
import { utc } from '../terminal/words.ts';

/** A session with what goes through it, what is being done with it from here, and the end of its log. */
export function sessionDialogBody(
  { session, shown, log }: SessionDialog,
  model: Model,
): readonly Line[] {
  const words = underWay(session, model).map(({ what, progress }) => `${what} ${progress}`.trim());
  return [
    line(` Session ${session}`, 'strong'),
    ...(shown.kind === 'known' ? factLines(shown.value) : [notKnown(shown)]),
    field('Clients', trafficText(session, model)),
    field('Under way', words.join(', ') || '-'),
    [],
    ...logLines(log, logRows(model)),
  ];
}

function factLines(it: SessionSummary): Line[] {
  const isForeign = !it.adopted && it.holder === null;
  const own = isForeign ? 'not adopted: see "holdfast store adopt"' : sessionState(it);
  const state = it.waits === null ? own : `waits: ${it.waits}`;
  const served = it.holder === null ? '' : `: ${it.holder}`;
  return [
    field('Machine', `${it.machine}, of set ${it.set}`),
    field('Point', it.point),
    field('Begun', `${utc(it.created)} UTC`),
    field('State', `${state}${served}`),
    field('Where', it.listen === '' ? '-' : it.listen),
    field('Takes', `${formatSize(it.takenBytes)} on the disk of the store`),
  ];
}

function trafficText(session: string, { exports }: Model): string {
  if (exports.kind !== 'known') return exports.kind === 'refused' ? exports.message : '...';
  const own = exports.value.filter((it) => it.session === session);
  const sum = (of: (it: (typeof own)[number]) => number): number =>
    own.reduce((total, it) => total + of(it), 0);
  const read = formatSize(sum(({ readBytes }) => readBytes));
  const written = formatSize(sum(({ writtenBytes }) => writtenBytes));
  return `${sum(({ clients }) => clients.length)}; ${read} read, ${written} written`;
}

/** What is being done with a session, from here and by jobs, and how far that is. */
export function underWay(
  session: string,
  { tasks, active }: Model,
): readonly { readonly what: string; readonly progress: string }[] {
  const own = tasks.filter(
    ({ call: { request } }) => 'session' in request && request.session === session,
  );
  const jobs = active.kind === 'known' ? active.value : [];
  const keeps = jobs.filter(
    ({ kind, request }) => kind === 'keep' && request['session'] === session,
  );
  return [
    ...own.map(({ title, progress }) => ({ what: title, progress })),
    ...keeps.map((it) => ({ what: `job ${it.job}`, progress: stateText(it) })),
  ];
}

function field(name: string, text: string): Line {
  return line(` ${fitted(name, 10)} ${text}`);
}
