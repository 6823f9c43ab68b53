import type { Change } from '../../operations/events.ts';
import { OPERATIONS, type OperationName } from '../../operations/operations.ts';
import type { Look, Model, Next, Query } from '../state/model.ts';
import type { Call } from '../state/service.ts';
import { FACTS } from '../pages/status.ts';
import { DIALOG_QUERIES, dialogQueries } from './dialogs.ts';
import { PAGES } from './pages.ts';

/*
 * When pages and dialogs send their queries. A query is under way only once at a time, so that a slow service is not
 * flooded. Work that a user starts is a task: see tasks.ts.
 */

const ALL: ReadonlySet<Query> = new Set([
  FACTS,
  ...Object.values(PAGES).flatMap(({ queries }) => queries),
  ...DIALOG_QUERIES,
]);

/** Sends the queries whose results are to be shown and are missing, or too old. */
export function refreshed(model: Model): Next {
  const due = seen(model).filter((it) => it.call(model) !== undefined && it.isDue(model));
  return followed(asked(model, due));
}

function seen({ dialog, screen, service }: Model): readonly Query[] {
  if (service.kind !== 'up') return [FACTS];
  return [FACTS, ...PAGES[screen].queries, ...(dialog ? dialogQueries(dialog) : [])];
}

/** Repeats at once every query that shows one of these nouns, however new its result is. */
function changed(model: Model, nouns: readonly string[]): Next {
  const isHit = (query: Query): boolean => {
    const call = query.call(model);
    return call !== undefined && OPERATIONS[call.name].shows.some((it) => nouns.includes(it));
  };
  return asked(model, [...ALL].filter(isHit));
}

/** Repeats queries at once after an operation that was started here and changes their results. */
export function changedBy(model: Model, name: OperationName): Next {
  return changed(model, OPERATIONS[name].changes);
}

/** Repeats queries at once after an event of the service that changes their results. */
export function toldBy(model: Model, event: Change): Next {
  return changed(model, event.event === 'changed' ? event.nouns : [event.event]);
}

/** Follows the service's events. No page has this query: it stays without an answer on purpose. */
function followed([model, effects]: Next): Next {
  if (model.service.kind !== 'up' || model.follow !== undefined) return [model, effects];
  const id = model.nextId;
  const call: Call = { name: 'service/follow', request: {} };
  return [
    { ...model, follow: id, nextId: id + 1 },
    [...effects, { kind: 'ask', id, call, secret: undefined }],
  ];
}

function asked(before: Model, queries: readonly Query[]): Next {
  let [model, effects]: Next = [before, []];
  for (const query of queries) {
    const call = query.call(model);
    if (!call || model.looks.some((it) => it.query === query)) continue;
    const { nextId: id, nowMs: sinceMs, looks } = model;
    model = { ...model, looks: [...looks, { id, query, call, sinceMs }], nextId: id + 1 };
    effects = [...effects, { kind: 'ask', id, call, secret: undefined }];
  }
  return [model, effects];
}

/** Whether a query that was answered is still the one to show; it may be for another part of the same list. */
export function isStillAsked(model: Model, { query, call }: Look): boolean {
  const now = query.call(model);
  return now !== undefined && subjectOf(now) === subjectOf(call);
}

function subjectOf({ name, request }: Call): string {
  return JSON.stringify([name, { ...request, first: 0 }]);
}
