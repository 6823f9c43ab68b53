import type { SessionSummary } from '../protocol/results.ts';
import { type Known, listRows, type Model, type ScreenName } from './model.ts';

/* Which row of a list is chosen. */

export function moved(model: Model, by: number): Model {
  // What was chosen is gone: only who moves chooses another one.
  if (by === 0 && chosenRow(model) < 0) return model;
  return movedTo(model, chosenRow(model) + by);
}

export function movedTo(model: Model, row: number): Model {
  const { screen, points } = model;
  const chosen = Math.max(0, Math.min(row, rowCount(model) - 1));
  if (screen === 'status') return model;
  if (screen !== 'points') return { ...model, chosen: { ...model.chosen, [screen]: chosen } };
  // What is not known yet has not moved.
  if (points.total === undefined) return model;
  const top = topFor(chosen, points.top, { total: points.total, height: listRows(model) });
  return { ...model, points: { ...points, chosen, top } };
}

export function chosenSession({ sessions, chosen }: Model): SessionSummary | undefined {
  if (sessions.kind !== 'known') return undefined;
  return sessions.value[Math.min(chosen.sessions, sessions.value.length - 1)];
}

function chosenRow({ screen, points, chosen }: Model): number {
  if (screen === 'status') return 0;
  return screen === 'points' ? points.chosen : chosen[screen];
}

function rowCount({ screen, points, sessions, sets, log }: Model): number {
  const known = <T>(it: Known<readonly T[]>): number => (it.kind === 'known' ? it.value.length : 0);
  const counts: Readonly<Record<ScreenName, number>> = {
    status: 1,
    points: points.total ?? 0,
    sessions: known(sessions),
    sets: known(sets),
    log: log.length,
  };
  return counts[screen];
}

/** The first row to be shown so that the chosen one is, moving as little as possible. */
export function topFor(
  chosen: number,
  top: number,
  { total, height }: { readonly total: number; readonly height: number },
): number {
  const near = Math.max(chosen - height + 1, Math.min(top, chosen));
  return Math.max(0, Math.min(near, total - height));
}
