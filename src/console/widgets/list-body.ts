import type { DamagedPoint } from '../../operations/base/fields.ts';
import { topFor } from '../state/lists.ts';
import { listRows, type Model, type PagedList } from '../state/model.ts';
import type { Known } from '../state/service.ts';
import { fitted, type Line, line, wrapped } from '../terminal/screen.ts';

/* Lists as lines, with the chosen row. */

/** Where the month begins in a time: jobs and sessions do not last for years. */
export const MONTH_AT = 5;

/** A list that is known as a whole. */
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
    /** Shown after the heading. */
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

/** A long list, of which a part is known. */
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
    /** Shown instead of an empty list. */
    readonly none?: string;
    /** Shown after the position in the list. */
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

function listLine(text: string, isChosen: boolean, width: number): Line {
  const shown = fitted(`${isChosen ? '>' : ' '}${text}`, width - 1);
  return isChosen ? line(shown, 'bar') : line(shown.trimEnd());
}

/** For long lists, which leave no room for lines below them. */
export function damagedNote({ length }: readonly DamagedPoint[]): string {
  return length === 0 ? '' : `   ${length} DAMAGED`;
}

/** The records that cannot be read, below those that can. */
export function damagedLines(damaged: readonly DamagedPoint[], { size }: Model): Line[] {
  return damaged.flatMap(({ reason }) =>
    wrapped(`DAMAGED ${reason}`, size.columns - 3).map((text) => line(` ${text}`, 'bad')),
  );
}

export function notKnown(it: Known<unknown>): Line {
  return it.kind === 'refused' ? line(` ${it.message}`, 'bad') : line(' asking ...');
}

/** A fact after its name. */
export function fact(name: string, text: string, width = 10): Line {
  return line(` ${fitted(name, width)} ${text}`);
}
