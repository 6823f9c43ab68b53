import type {
  KnownName,
  Look,
  LookName,
  Model,
  Next,
  PagedList,
  PagedName,
} from '../state/model.ts';
import { followedDialog } from '../state/dialog-model.ts';
import { HOUR_PARTS, listRows } from '../state/model.ts';
import { PAGES } from './pages.ts';
import type { Call } from '../state/call.ts';

/*
 * What is asked of the service and when. Looks repeat; of each kind one is under way at a time, so that a slow
 * service is not buried. Tasks are what people start: see tasks.ts.
 */

/** A list of recovery points costs the service a look at all names. */
const COSTLY_MS = 10_000;
const LATEST = 4;
/** Jobs that run are among the oldest that have not ended: two lanes, and what waits behind them. */
const ACTIVE = 100;
/** Rows of a long list that are asked for at once, and how near to their end more are. */
const WINDOW = 300;
const MARGIN = 60;

/** How often each is asked anew. */
const EVERY_MS: Readonly<Record<LookName, number>> = {
  facts: 2000,
  latest: COSTLY_MS,
  sessions: 2000,
  sets: 2000,
  schedules: 2000,
  active: 2000,
  usage: 30_000,
  standing: 5000,
  throughput: 5000,
  exports: 2000,
  opened: 2000,
  // Who turns a page has it as it was at the first.
  entries: Number.POSITIVE_INFINITY,
  network: 2000,
  machine: COSTLY_MS,
  lockdown: 2000,
  ssh: COSTLY_MS,
  // SMART wakes disks that sleep.
  disks: 60_000,
  points: COSTLY_MS,
  jobs: 2000,
  shown: 1000,
  shownLog: 1000,
};

/** Asks what is to be seen and is not known, or has been known for too long. */
export function refreshed(model: Model): Next {
  let next: Next = [model, []];
  for (const what of wanted(model)) next = look(next, what);
  return heard(next);
}

/** No look: that no answer comes is how it should be. */
function heard([model, effects]: Next): Next {
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
  const { dialog, screen, service } = model;
  // Always: it is how we know that the service is there.
  const names: LookName[] = ['facts'];
  if (service.kind === 'up') {
    names.push(...PAGES[screen].looks);
    if (followedDialog(dialog)) names.push('shown', 'shownLog');
    // What goes through it.
    if (dialog?.kind === 'session') names.push('exports', 'active');
  }
  return names.filter((name) => isDue(model, name));
}

function isDue(model: Model, what: LookName): boolean {
  const { nowMs, dialog } = model;
  const isOld = (atMs: number): boolean => nowMs - atMs >= EVERY_MS[what];
  if (isPaged(what)) {
    if (what === 'entries' && !model.place) return false;
    const it = model[what];
    // Asked again only when it is entered again.
    if (what === 'entries' && it.refused !== undefined) return false;
    return it.total === undefined || isOld(it.atMs) || !isCovered(it, listRows(model));
  }
  if (what === 'shown' || what === 'shownLog') {
    const it = followedDialog(dialog);
    if (!it) return false;
    const { shown, log } = it;
    if (what === 'shownLog') return log.atMs === undefined || isOld(log.atMs);
    return shown.kind !== 'known' || isOld(shown.atMs);
  }
  const it = model[what];
  return it.kind !== 'known' || isOld(it.atMs);
}

function isPaged(what: LookName): what is PagedName {
  return Object.hasOwn(PAGES_ASKED, what);
}

/** Whether what is to be seen, and some more, is there. */
function isCovered({ total = 0, first, rows, top }: PagedList<unknown>, height: number): boolean {
  const from = Math.max(0, top - MARGIN);
  const to = Math.min(total, top + height + MARGIN);
  return first <= from && first + Math.max(rows.length, 1) >= to;
}

function look([model, effects]: Next, what: LookName): Next {
  if (model.looks.some((it) => it.what === what)) return [model, effects];
  const call = callOf(model, what);
  if (!call) return [model, effects];
  const { nextId: id, nowMs: sinceMs } = model;
  const looks = [...model.looks, { id, what, call, sinceMs }];
  return [
    { ...model, looks, nextId: id + 1 },
    [...effects, { kind: 'ask', id, call, secret: undefined }],
  ];
}

/** Whether what was asked is what is to be seen by now; it may be another part of the same list. */
export function isStillAsked(model: Model, { what, call }: Look): boolean {
  const now = callOf(model, what);
  return now !== undefined && subjectOf(now) === subjectOf(call);
}

function subjectOf({ name, request }: Call): string {
  return JSON.stringify([name, { ...request, first: 0 }]);
}

function callOf(model: Model, what: LookName): Call | undefined {
  if (isPaged(what)) return PAGES_ASKED[what](model);
  if (what !== 'shown' && what !== 'shownLog') return KNOWN_ASKED[what];
  const it = followedDialog(model.dialog);
  if (!it) return undefined;
  const first = it.log.count;
  if (it.kind === 'job') {
    const { job } = it;
    return what === 'shown'
      ? { name: 'job/show', request: { job } }
      : { name: 'job/log', request: { job, first } };
  }
  const { session } = it;
  return what === 'shown'
    ? { name: 'session/show', request: { session } }
    : { name: 'session/log', request: { session, first } };
}

const ALL = { set: undefined, machine: undefined };

const KNOWN_ASKED: Readonly<Record<KnownName, Call>> = {
  facts: { name: 'service/show', request: {} },
  sessions: { name: 'session/list', request: {} },
  sets: { name: 'set/list', request: {} },
  schedules: { name: 'schedule/list', request: {} },
  opened: { name: 'files/opened', request: {} },
  active: { name: 'job/list', request: { first: 0, count: ACTIVE, active: true } },
  usage: { name: 'store/usage', request: {} },
  standing: { name: 'alarm/list', request: { all: false } },
  throughput: { name: 'service/throughput', request: { points: HOUR_PARTS } },
  exports: { name: 'export/list', request: {} },
  network: { name: 'network/show', request: {} },
  machine: { name: 'host/show', request: {} },
  lockdown: { name: 'lockdown/show', request: {} },
  ssh: { name: 'ssh/show', request: {} },
  disks: { name: 'disk/list', request: {} },
  latest: {
    name: 'backup/page',
    request: { ...ALL, contains: undefined, first: 0, count: LATEST },
  },
};

const PAGES_ASKED: Readonly<Record<PagedName, (model: Model) => Call | undefined>> = {
  points({ points: { filter, top } }) {
    const contains = filter === '' ? undefined : filter;
    return { name: 'backup/page', request: { ...ALL, contains, ...windowAt(top) } };
  },
  jobs: ({ jobs: { top } }) => ({ name: 'job/list', request: { ...windowAt(top), active: false } }),
  entries({ place, entries: { top } }) {
    if (!place) return undefined;
    const { id, volume, path } = place;
    return { name: 'files/browse', request: { id, volume, path: `/${path}`, ...windowAt(top) } };
  },
};

function windowAt(top: number): { readonly first: number; readonly count: number } {
  return { first: Math.max(0, top - WINDOW / 3), count: WINDOW };
}
