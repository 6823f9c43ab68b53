import type { OperationName, RequestOf, ResultOf } from '../../operations/operations.ts';
import { type FollowedDialog, followed } from './dialog.ts';
import { type ArrivedPage, withPage } from './lists.ts';
import {
  type KnownName,
  listRows,
  type Model,
  NO_ROWS,
  type PagedList,
  type PagedName,
  type Query,
} from './model.ts';
import type { Answer, AnswerOf, Call, CallOf, Known } from './service.ts';

/*
 * The three kinds of queries: for a whole result, for a part of a list, and for a job or session that a dialog
 * follows.
 */

/** The interval of queries that cost the service much: a list of recovery points reads all names in the store. */
export const COSTLY_MS = 10_000;
/** The interval of most queries while their results are shown. */
export const OFTEN_MS = 2000;

type ValueOf<T> = T extends Known<infer V> ? V : never;

/** Keeps the result, or the part that `value` takes from it, in the field `name` of the model. */
export function whole<K extends KnownName, N extends OperationName>(
  field: K,
  name: N,
  {
    request = {} as RequestOf<N>,
    everyMs = OFTEN_MS,
    value = (result) => result as never,
    also = () => ({}),
  }: {
    readonly request?: RequestOf<N>;
    readonly everyMs?: number;
    readonly value?: (result: ResultOf<N>) => ValueOf<Model[K]>;
    /** Further fields of the model that the result changes. */
    readonly also?: (result: ResultOf<N>) => Partial<Model>;
  } = {},
): Query {
  const call = { name, request } as Call;
  return {
    call: () => call,
    isDue: (model) => isOld(model, model[field], everyMs),
    answered(model, answer) {
      const { result } = taken<N>(answer);
      const known = { kind: 'known', value: value(result), atMs: model.nowMs } as const;
      return { ...model, ...also(result), [field]: known };
    },
    refused: (model, message) => ({ ...model, [field]: { kind: 'refused', message } }),
  };
}

type RowOf<K extends PagedName> = Model[K] extends PagedList<infer T> ? T : never;

/** How many rows of a long list to ask for at once, and how near to their end to ask for more. */
const WINDOW = 300;
const MARGIN = 60;

/** The part of a long list that is visible, and some more. */
export function paged<K extends PagedName, N extends OperationName>(
  field: K,
  {
    call,
    everyMs,
    page,
    idOf,
    also = () => ({}),
  }: {
    readonly call: (
      model: Model,
      window: { readonly first: number; readonly count: number },
    ) => CallOf<N> | undefined;
    /** Infinite: once, and again only after the list was entered again. */
    readonly everyMs: number;
    readonly page: (result: ResultOf<N>) => ArrivedPage<RowOf<K>>;
    readonly idOf: (row: RowOf<K>) => string;
    /** Further fields that the result changes; `model` has the new rows. */
    readonly also?: (model: Model, result: ResultOf<N>) => Partial<Model>;
  },
): Query {
  const listOf = (model: Model) => model[field] as PagedList<RowOf<K>>;
  const ask: Query['call'] = (model) => {
    const first = Math.max(0, listOf(model).top - WINDOW / 3);
    return call(model, { first, count: WINDOW }) as ReturnType<Query['call']>;
  };
  return {
    call: ask,
    isDue(model) {
      const it = listOf(model);
      if (it.refused !== undefined && everyMs === Number.POSITIVE_INFINITY) return false;
      const isOver = model.nowMs - it.atMs >= everyMs;
      return it.total === undefined || isOver || !isCovered(it, listRows(model));
    },
    answered(model, answer) {
      const { result } = taken<N>(answer);
      const list = withPage(model, listOf(model), { ...page(result), idOf });
      const next = { ...model, [field]: list };
      return { ...next, ...also(next, result) };
    },
    refused(model, message) {
      const list = { ...listOf(model), ...NO_ROWS, refused: message, atMs: model.nowMs };
      return { ...model, [field]: list };
    },
  };
}

/** Whether the visible part, and some more, is there. */
function isCovered({ total = 0, first, rows, top }: PagedList<unknown>, height: number): boolean {
  const from = Math.max(0, top - MARGIN);
  const to = Math.min(total, top + height + MARGIN);
  return first <= from && first + Math.max(rows.length, 1) >= to;
}

type LogName = Extract<OperationName, 'job/log' | 'session/log'>;

const FOLLOWED_MS = 1000;

/** The job or session that a dialog of this kind follows, and the new lines of its log. */
export function followedBy<N extends OperationName, L extends LogName>(
  kind: FollowedDialog['kind'],
  {
    show,
    log,
  }: {
    readonly show: (id: string) => CallOf<N>;
    readonly log: (id: string, first: number) => CallOf<L>;
  },
): readonly Query[] {
  const dialogOf = ({ dialog }: Model) => (dialog?.kind === kind ? dialog : undefined);
  const changed = (model: Model, parts: (it: FollowedDialog) => Partial<FollowedDialog>): Model => {
    const it = dialogOf(model);
    return it ? { ...model, dialog: { ...it, ...parts(it) } as FollowedDialog } : model;
  };
  const shown: Query = {
    call(model) {
      const it = dialogOf(model);
      return it && (show(it.id) as ReturnType<Query['call']>);
    },
    isDue: (model) => isOld(model, dialogOf(model)!.shown, FOLLOWED_MS),
    answered: (model, { result }) =>
      changed(model, () => ({
        shown: { kind: 'known', value: result as never, atMs: model.nowMs },
      })),
    refused: (model, message) => changed(model, () => ({ shown: { kind: 'refused', message } })),
  };
  const logged: Query = {
    call(model) {
      const it = dialogOf(model);
      return it && (log(it.id, it.log.count) as ReturnType<Query['call']>);
    },
    isDue(model) {
      const { atMs } = dialogOf(model)!.log;
      return atMs === undefined || model.nowMs - atMs >= FOLLOWED_MS;
    },
    answered(model, answer) {
      const { request, result } = taken<LogName>(answer);
      const arrived = { first: request.first, lines: result.lines, atMs: model.nowMs };
      return changed(model, (it) => ({ log: followed(it.log, arrived) }));
    },
    refused: (model) => changed(model, (it) => ({ log: { ...it.log, atMs: model.nowMs } })),
  };
  return [shown, logged];
}

function isOld({ nowMs }: Model, it: Known<unknown>, everyMs: number): boolean {
  return it.kind !== 'known' || nowMs - it.atMs >= everyMs;
}

/** The compiler does not see that the answer is that of the query's operation. */
function taken<N extends OperationName>(answer: Answer): AnswerOf<N> {
  return answer as unknown as AnswerOf<N>;
}
