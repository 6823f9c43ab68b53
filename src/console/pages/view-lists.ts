import { sessionState } from '../../client/session-state.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { DamagedPoint, PointSummary, SessionSummary } from '../../operations/results.ts';
import { topFor } from '../state/lists.ts';
import { listRows, type Model, type PagedList } from '../state/model.ts';
import { columns, fitted, type Line, line, wrapped } from '../terminal/screen.ts';
import { underWay } from './view-session.ts';
import { notKnown } from '../widgets/view-status.ts';
import { utc } from '../terminal/words.ts';
import type { Known } from '../state/known.ts';

/** In a time: jobs and sessions are not there for years. */
export const MONTH_AT = 5;
const POINT_WIDTHS = [16, 20, 12, 7];

export function pointsBody(model: Model): readonly Line[] {
  const { filter, damaged } = model.points;
  const search = filter === '' ? '' : `, with "${filter}" in their ID (Esc: all)`;
  const lost = damaged.length > 0 ? `, ${damaged.length} DAMAGED near here` : '';
  return pagedBody(model, model.points, {
    heading: columns(['CREATED (UTC)', 'MACHINE', 'SET', 'FROM', 'DISKS'], POINT_WIDTHS),
    note: `${search}${lost}`,
    text: pointText,
  });
}

export function pagedBody<T>(
  model: Model,
  { refused, total, chosen, top, rows, first }: PagedList<T>,
  {
    heading,
    none,
    note,
    text,
  }: {
    readonly heading: string;
    /** Instead of an empty list. */
    readonly none?: string;
    /** Behind the place in the list. */
    readonly note: string;
    readonly text: (item: T) => string;
  },
): readonly Line[] {
  const width = model.size.columns;
  if (refused !== undefined) return [line(` ${refused}`, 'bad')];
  if (total === undefined) return [line(' asking ...')];
  if (total === 0 && none !== undefined) return [line(` ${none}`)];
  const place = `${total === 0 ? 0 : chosen + 1} of ${total}${note}`;
  const shown = fitted(` ${heading}`, Math.max(0, width - place.length - 3));
  const count = Math.min(listRows(model), total);
  const lines = Array.from({ length: count }, (_, at) => {
    const row = rows[top + at - first];
    return listLine(row ? text(row) : '...', top + at === chosen, width);
  });
  return [line(`${shown} ${place}`, 'strong'), ...lines];
}

function pointText({ created, machine, set, origin, disks }: PointSummary): string {
  const sizes = disks.map(({ name, size }) => `${name} ${formatSize(size)}`).join(', ');
  return columns([utc(created), machine, set, origin, sizes], POINT_WIDTHS);
}

/** A long list leaves no room for the lines below it. */
function damagedNote({ length }: readonly DamagedPoint[]): string {
  return length === 0 ? '' : `   ${length} DAMAGED`;
}

/** What there is and cannot be read, below what can be. */
function damagedLines(damaged: readonly DamagedPoint[], { size }: Model): Line[] {
  return damaged.flatMap(({ reason }) =>
    wrapped(`DAMAGED ${reason}`, size.columns - 3).map((text) => line(` ${text}`, 'bad')),
  );
}

export function sessionsBody(model: Model): readonly Line[] {
  const { sessions, damagedSessions } = model;
  const widths = [21, 11, 11, 9];
  const list = listBody(model, {
    known: sessions,
    heading: columns(['SESSION', 'STATE', 'BEGUN (UTC)', 'TAKES', 'WHERE, UNDER WAY'], widths),
    note: damagedNote(damagedSessions),
    none: 'No sessions. One begins when a recovery point is run.',
    text: (it: SessionSummary) => {
      const { session, waits, created, takenBytes, listen } = it;
      const [now] = underWay(session, model);
      const place = now ? now.progress || now.what : (waits ?? listen);
      const begun = utc(created).slice(MONTH_AT);
      const cells = [session, sessionState(it), begun, formatSize(takenBytes), place];
      return columns(cells, widths);
    },
  });
  return [...list, ...damagedLines(damagedSessions, model)];
}

export function setsBody(model: Model): readonly Line[] {
  const widths = [32, 16];
  const list = listBody(model, {
    known: model.sets,
    heading: columns(['SET', 'CREATED (UTC)', 'ENCRYPTED'], widths),
    note: damagedNote(model.damagedSets),
    none: 'No backup sets: see "holdfast set create".',
    text: ({ set, created, encrypted, problem }) =>
      columns(
        [
          set,
          utc(created),
          problem === null ? (encrypted ? 'yes' : 'no') : 'REFUSED: see "set list"',
        ],
        widths,
      ),
  });
  return [...list, ...damagedLines(model.damagedSets, model)];
}

export function logBody(model: Model): readonly Line[] {
  return listBody(model, {
    known: { kind: 'known', value: model.log.toReversed(), atMs: 0 },
    heading: columns(['TIME (UTC)', 'WHAT WAS DONE FROM HERE, NEWEST FIRST'], [19]),
    none: 'Nothing was done from here yet.',
    text: ({ time, text, isFailure }) =>
      columns([time.slice(0, 19).replace('T', ' '), `${isFailure ? 'FAILED ' : ''}${text}`], [19]),
  });
}

export function listBody<T>(
  model: Model,
  {
    known,
    heading,
    note = '',
    none,
    text,
  }: {
    readonly known: Known<readonly T[]>;
    readonly heading: string;
    /** Behind it. */
    readonly note?: string;
    readonly none: string;
    readonly text: (item: T) => string;
  },
): readonly Line[] {
  if (known.kind !== 'known') return [notKnown(known)];
  const { value } = known;
  if (value.length === 0) return [line(` ${none}`)];
  const height = listRows(model);
  const chosen = Math.min(model.chosen[model.screen] ?? 0, value.length - 1);
  const top = topFor(chosen, 0, { total: value.length, height });
  const shown = value
    .slice(top, top + height)
    .map((item, at) => listLine(text(item), top + at === chosen, model.size.columns));
  return [line(fitted(` ${heading}${note}`, model.size.columns - 1).trimEnd(), 'strong'), ...shown];
}

function listLine(text: string, isChosen: boolean, width: number): Line {
  const shown = fitted(`${isChosen ? '>' : ' '}${text}`, width - 1);
  return isChosen ? line(shown, 'bar') : line(shown.trimEnd());
}
