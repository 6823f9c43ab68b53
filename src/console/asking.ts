import type { Call, Effect, LookName, Model, Next, PointsList } from './model.ts';
import { listRows } from './model.ts';

/*
 * What is asked of the service and when. Looks repeat; of each kind one is under way at a time, so that a slow
 * service is not buried. Tasks are what people start.
 */

/** How often what is on the screen is asked anew. */
const REFRESH_MS = 2000;
/** A list of recovery points costs the service a look at all names. */
const POINTS_REFRESH_MS = 10_000;
const LATEST = 4;
/** Recovery points that are asked for at once, and how near to their end more are. */
const WINDOW = 300;
const MARGIN = 60;
/** At once; more are refused here. */
const TASKS_MAX = 16;

/** Asks what the screen needs and does not have, or has had for too long. */
export function refreshed(model: Model): Next {
  let next: Next = [model, []];
  for (const what of wanted(model)) next = look(next, what);
  return followed(next);
}

/** No look: that no answer comes is how it should be. */
function followed([model, effects]: Next): Next {
  if (model.service.kind !== 'up' || model.follow !== undefined) return [model, effects];
  const id = model.nextId;
  const call: Call = { name: 'service/follow', request: {} };
  return [
    { ...model, follow: id, nextId: id + 1 },
    [...effects, { kind: 'ask', id, call, secret: undefined }],
  ];
}

/** Asked again at once, whatever is known: something has changed. */
export function again(model: Model, ...what: readonly LookName[]): Next {
  let next: Next = [model, []];
  for (const it of what) next = look(next, it);
  return next;
}

function wanted(model: Model): LookName[] {
  const { screen, nowMs, service, points } = model;
  const isOld = (what: 'facts' | 'latest' | 'sessions' | 'sets', limit = REFRESH_MS): boolean => {
    const it = model[what];
    return it.kind !== 'known' || nowMs - it.atMs >= limit;
  };
  // Always: it is how we know that the service is there.
  const names: LookName[] = isOld('facts') ? ['facts'] : [];
  if (service.kind !== 'up') return names;
  if (screen === 'status' && isOld('latest', POINTS_REFRESH_MS)) names.push('latest');
  if ((screen === 'status' || screen === 'sessions') && isOld('sessions')) names.push('sessions');
  if (screen === 'sets' && isOld('sets')) names.push('sets');
  const arePointsOld = points.total === undefined || nowMs - points.atMs >= POINTS_REFRESH_MS;
  if (screen === 'points' && (arePointsOld || !isCovered(points, listRows(model)))) {
    names.push('points');
  }
  return names;
}

/** Whether what is to be seen, and some more, is there. */
function isCovered({ total = 0, first, rows, top }: PointsList, height: number): boolean {
  const from = Math.max(0, top - MARGIN);
  const to = Math.min(total, top + height + MARGIN);
  return first <= from && first + Math.max(rows.length, 1) >= to;
}

function look([model, effects]: Next, what: LookName): Next {
  if (model.looks.some((it) => it.what === what)) return [model, effects];
  const { nextId: id, nowMs: sinceMs } = model;
  const looks = [...model.looks, { id, what, sinceMs }];
  const call = LOOKS[what](model.points);
  return [
    { ...model, looks, nextId: id + 1 },
    [...effects, { kind: 'ask', id, call, secret: undefined }],
  ];
}

const ALL = { set: undefined, machine: undefined };

const LOOKS: Readonly<Record<LookName, (points: PointsList) => Call>> = {
  facts: () => ({ name: 'service/show', request: {} }),
  sessions: () => ({ name: 'session/list', request: {} }),
  sets: () => ({ name: 'set/list', request: {} }),
  latest: () => ({
    name: 'backup/page',
    request: { ...ALL, contains: undefined, first: 0, count: LATEST },
  }),
  points({ filter, top }) {
    const contains = filter === '' ? undefined : filter;
    const first = Math.max(0, top - WINDOW / 3);
    return { name: 'backup/page', request: { ...ALL, contains, first, count: WINDOW } };
  },
};

/** `title`: `run web1-...`, as it stands in the log. */
export function startTask(
  model: Model,
  title: string,
  { call, secret }: Pick<Extract<Effect, { kind: 'ask' }>, 'call' | 'secret'>,
): Next {
  if (model.tasks.length >= TASKS_MAX) {
    return [{ ...model, dialog: undefined, hint: 'Too much is under way: wait a little.' }, []];
  }
  const id = model.nextId;
  const tasks = [...model.tasks, { id, call, title, progress: '' }];
  return [
    { ...model, tasks, dialog: undefined, nextId: id + 1 },
    [{ kind: 'ask', id, call, secret }],
  ];
}
