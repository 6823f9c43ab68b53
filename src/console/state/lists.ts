import { listRows, type Model, type PagedList, type PagedName } from './model.ts';
import type { Known } from './service.ts';

/* The chosen row of a list. */

/** The model with another row chosen in the list of the current screen. */
export function moved(model: Model, list: PageList, by: number): Model {
  const before =
    list.kind === 'paged' ? model[list.name].chosen : (model.chosen[model.screen] ?? 0);
  // The chosen row is gone: only moving chooses another one.
  if (by === 0 && before < 0) return model;
  return movedTo(model, list, before + by);
}

export function movedTo(model: Model, list: PageList, row: number): Model {
  if (list.kind === 'none') return model;
  if (list.kind === 'rows') {
    const chosen = clamped(row, list.ids(model)?.length ?? 0);
    return { ...model, chosen: { ...model.chosen, [model.screen]: chosen } };
  }
  const { total, top } = model[list.name];
  // Nothing can be chosen in a list that is not known yet.
  if (total === undefined) return model;
  const chosen = clamped(row, total);
  const place = { chosen, top: topFor(chosen, top, { total, height: listRows(model) }) };
  return { ...model, [list.name]: { ...model[list.name], ...place } };
}

function clamped(row: number, count: number): number {
  return Math.max(0, Math.min(row, count - 1));
}

export function idsOf<T>(
  it: Known<readonly T[]>,
  idOf: (row: T) => string,
): readonly string[] | undefined {
  return it.kind === 'known' ? it.value.map(idOf) : undefined;
}

/** The chosen row, if it exists. */
export function chosenOf<T>(it: Known<readonly T[]>, row = 0): T | undefined {
  return it.kind === 'known' ? it.value[Math.min(row, it.value.length - 1)] : undefined;
}

export function chosenIn<T>({ rows, first, chosen }: PagedList<T>): T | undefined {
  return rows[chosen - first];
}

/** The first row to show so that the chosen one is visible, moving as little as possible. */
export function topFor(
  chosen: number,
  top: number,
  { total, height }: { readonly total: number; readonly height: number },
): number {
  const near = Math.max(chosen - height + 1, Math.min(top, chosen));
  return Math.max(0, Math.min(near, total - height));
}

export interface ArrivedPage<T> {
  readonly total: number;
  readonly first: number;
  readonly rows: readonly T[];
}

/** The chosen row stays chosen, even if newer rows push it down. */
export function withPage<T>(
  model: Model,
  list: PagedList<T>,
  { total, first, rows, idOf }: ArrivedPage<T> & { readonly idOf: (row: T) => string },
): PagedList<T> {
  const before = chosenIn(list);
  const at = before === undefined ? -1 : rows.findIndex((row) => idOf(row) === idOf(before));
  const chosen = clamped(at < 0 ? list.chosen : first + at, total);
  const shifted = list.top + chosen - list.chosen;
  const top = Math.max(0, Math.min(shifted, total - listRows(model)));
  return { ...list, total, first, rows, chosen, top, refused: undefined, atMs: model.nowMs };
}

/** The list in which Up and Down move. */
export type PageList =
  | { readonly kind: 'none' }
  /** The IDs of its rows, in order; undefined: not known. */
  | { readonly kind: 'rows'; readonly ids: (model: Model) => readonly string[] | undefined }
  | { readonly kind: 'paged'; readonly name: PagedName };
