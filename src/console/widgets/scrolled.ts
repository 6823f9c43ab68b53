import type { Dialog, FollowedDialog, FollowedLog, TextDialog } from '../state/dialog.ts';
import { bodyRows, type Model } from '../state/model.ts';
import { type Line, line, wrapped } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { type DialogKind, key, type PageKey } from './page.ts';
import { closed, textWidth } from './typed.ts';

/* Contents that may be longer than the screen: a text, and the log of a job or session. */

/** How many rows each key moves, given the number of visible rows. */
const SCROLLS: Readonly<Record<string, (rows: number) => number>> = {
  up: () => -1,
  down: () => 1,
  'page-up': (rows) => 1 - rows,
  'page-down': (rows) => rows - 1,
  home: () => -Infinity,
  end: () => Infinity,
};

/** `rows`: the number of visible rows. `to` returns the dialog moved by a number of rows. */
export function scrolling(
  label: string,
  rows: (model: Model) => number,
  to: (model: Model, by: number) => Dialog,
): PageKey {
  return key(Object.keys(SCROLLS), label, (model, name) => to(model, SCROLLS[name]!(rows(model))));
}

export const BACK = key(['enter', 'escape'], 'back', closed);

export function textDialog(title: string, text: string, isFailure = false): TextDialog {
  return { kind: 'text', title, text, isFailure, top: 0 };
}

/** Rows for a text below its title. */
export function textRows(model: Model): number {
  return bodyRows(model) - 2;
}

export const textKind: DialogKind<TextDialog> = {
  keys: (it) => [
    scrolling('scroll', textRows, (model, by) => {
      const last = wrapped(it.text, textWidth(model)).length - textRows(model);
      const top = Math.max(0, Math.min(it.top + by, last));
      return { ...it, top };
    }),
    ...endings(it),
  ],
  body({ title, text, top, isFailure }, model) {
    const lines = wrapped(text, textWidth(model));
    const shown = lines.slice(top, top + textRows(model));
    const more = lines.length > top + shown.length ? '  (more below)' : '';
    return [
      line(` ${title}${more}`, isFailure ? 'bad' : 'strong'),
      [],
      ...shown.map((it) => line(` ${it}`)),
    ];
  },
};

function endings({ next, back }: TextDialog): readonly PageKey[] {
  if (!next && !back) return [BACK];
  const leave = (model: Model) => back ?? closed(model);
  if (!next) return [key(['enter', 'escape'], 'back', leave)];
  return [key('enter', next.does, () => next.work), key('escape', 'back', leave)];
}

/** Rows for the facts above the log. */
const FACT_ROWS = 11;

function logRows(model: Model): number {
  return bodyRows(model) - FACT_ROWS;
}

/** `own`: further keys for the job or session. */
export function logKeys(it: FollowedDialog, ...own: readonly PageKey[]): readonly PageKey[] {
  const { log } = it;
  const scroll = scrolling('log', logRows, (model, by) => {
    const most = Math.max(0, log.lines.length - logRows(model));
    const back = Math.max(0, Math.min(log.back - by, most));
    return { ...it, log: { ...log, back } };
  });
  return [scroll, ...own, BACK];
}

/** The end of a log, or an earlier part if it was scrolled back. */
export function logLines({ lines, back }: FollowedLog, model: Model): Line[] {
  const end = lines.length - back;
  const seen = lines.slice(Math.max(0, end - logRows(model)), end);
  const place = back > 0 ? `${back} newer below` : 'followed';
  return [
    line(` Its log (UTC), ${place}:`, 'strong'),
    ...seen.map(({ time, message }) => line(` ${utc(time)}:${time.slice(17, 19)}  ${message}`)),
  ];
}
