import { formatSize } from '../../lib/sizes.ts';
import type { CopiedFiles, JobSummary, PointSummary, Progress } from '../../operations/results.ts';
import { again, isStillAsked, refreshed } from './queries.ts';
import { withChosen } from './chosen.ts';
import { type Dialog, followed, followedDialog, NO_LOG } from '../state/dialog-model.ts';
import { changedBy, hostAnswered, shownAfter } from './host-responses.ts';
import { withPage } from '../state/lists.ts';
import { stepOn } from '../pages/set-up.ts';
import {
  type Answer,
  type Event,
  type Failure,
  type Look,
  type LookName,
  type Model,
  type Next,
  NO_PLACE,
  NO_ROWS,
  NOTHING_KNOWN,
  noPoints,
  type PagedList,
  type PointsList,
  type Task,
} from '../state/model.ts';
import { utc } from '../terminal/words.ts';
import { readyText } from '../../client/ready-text.ts';
import { UNKNOWN } from '../state/known.ts';

/* What the service says, and what becomes of the model by it. */

const LOG_MAX = 500;

export function answered(
  model: Model,
  { id, answer, time }: Extract<Event, { kind: 'answer' }>,
): Next {
  const up: Model = { ...model, service: { kind: 'up' } };
  const look = model.looks.find((it) => it.id === id);
  if (look) {
    const looks = model.looks.filter((it) => it !== look);
    // With `refreshed`: the first answer opens the way for other questions, and a list may have moved on.
    const next = lookAnswered(begun({ ...up, looks }, answer), look, answer);
    return refreshed(withChosen(model, next));
  }
  if (id === model.follow) return [{ ...up, follow: undefined }, []];
  const task = model.tasks.find((it) => it.id === id);
  return task ? taskDone(up, task, { answer, time }) : [up, []];
}

/** A service without a store is that of a machine that nobody has set up: so that is what is to be seen first. */
function begun(model: Model, { name, result }: Answer): Model {
  if (name !== 'service/show' || model.hasBegun) return model;
  // Whoever turned to another screen while the service was not there yet stays there.
  const isNew = result.storeId === null && model.screen === 'status';
  return { ...model, hasBegun: true, screen: isNew ? 'setUp' : model.screen };
}

function lookAnswered(model: Model, { what }: Look, answer: Answer): Model {
  const known = <T>(value: T) => ({ kind: 'known', value, atMs: model.nowMs }) as const;
  const { name, result } = answer;
  if (name === 'service/show') return { ...model, facts: known(result), host: result.host };
  if (name === 'session/list') {
    const { sessions, damaged: damagedSessions } = result;
    return { ...model, sessions: known(sessions), damagedSessions };
  }
  if (name === 'set/list') {
    return { ...model, sets: known(result.sets), damagedSets: result.damaged };
  }
  if (name === 'schedule/list') return { ...model, schedules: known(result.schedules) };
  if (name === 'alarm/list') return { ...model, standing: known(result.alarms) };
  if (name === 'store/usage') return { ...model, usage: known(result) };
  if (name === 'service/throughput') return { ...model, throughput: known(result) };
  if (name === 'files/opened') return { ...model, opened: known(result.opened) };
  if (name === 'files/browse') return entriesArrived(model, answer);
  if (name === 'export/list') return { ...model, exports: known(result.exports) };
  if (name === 'backup/page') {
    if (what === 'latest') return { ...model, latest: known(result) };
    return { ...model, points: pointsArrived(model, answer) };
  }
  if (name !== 'job/list') return hostAnswered(model, answer) ?? followedAnswered(model, answer);
  if (what === 'active') return { ...model, active: known(result.jobs) };
  const { jobs: rows, ...place } = result;
  const page = { ...place, rows, idOf: ({ job }: JobSummary) => job };
  return { ...model, jobs: withPage(model, model.jobs, page) };
}

function pointsArrived(model: Model, answer: Extract<Answer, { name: 'backup/page' }>): PointsList {
  const { points } = model;
  // Of a filter that was left meanwhile.
  if ((answer.request.contains ?? '') !== points.filter) return points;
  const { points: rows, damaged, ...place } = answer.result;
  const page = { ...place, rows, idOf: ({ point }: PointSummary) => point };
  return { ...points, ...withPage(model, points, page), damaged };
}

function entriesArrived(model: Model, answer: Extract<Answer, { name: 'files/browse' }>): Model {
  const { place, entries } = model;
  const { id, volume, path } = answer.request;
  // Of a directory that was left meanwhile.
  if (place?.id !== id || place.volume !== volume || `/${place.path}` !== path) return model;
  const { entries: rows, refused: partly, ...at } = answer.result;
  const page = { ...at, rows, idOf: (entry: { path: string }) => entry.path };
  const hint = partly === null ? model.hint : partly;
  return { ...model, hint, entries: withPage(model, entries, page) };
}

/** Of what a dialog follows, if it still does. */
function followedAnswered(model: Model, { name, request, result }: Answer): Model {
  const { dialog, nowMs: atMs } = model;
  const known = <T>(value: T) => ({ kind: 'known', value, atMs }) as const;
  if (dialog?.kind === 'job') {
    if (name === 'job/show' && result.job === dialog.job) {
      return { ...model, dialog: { ...dialog, shown: known(result) } };
    }
    if (name !== 'job/log' || result.job !== dialog.job) return model;
    const arrived = { first: request.first, lines: result.lines, atMs };
    return { ...model, dialog: { ...dialog, log: followed(dialog.log, arrived) } };
  }
  if (dialog?.kind !== 'session') return model;
  if (name === 'session/show' && result.session === dialog.session) {
    return { ...model, dialog: { ...dialog, shown: known(result) } };
  }
  if (name !== 'session/log' || result.session !== dialog.session) return model;
  const arrived = { first: request.first, lines: result.lines, atMs };
  return { ...model, dialog: { ...dialog, log: followed(dialog.log, arrived) } };
}

export function failed(
  model: Model,
  { id, failure, time }: Extract<Event, { kind: 'failed' }>,
): Next {
  const seen = failure.kind === 'gone' ? withChosen(model, lost(model, failure.message)) : model;
  const look = model.looks.find((it) => it.id === id);
  if (look) {
    const looks = model.looks.filter((it) => it !== look);
    const next = { ...seen, looks };
    return [
      failure.kind === 'gone' ? next : withChosen(model, refused(next, look, failure.message)),
      [],
    ];
  }
  // A service that refuses is not asked again: it will not change its mind.
  if (id === model.follow && failure.kind === 'gone') return [{ ...seen, follow: undefined }, []];
  const task = model.tasks.find((it) => it.id === id);
  return task ? taskFailed(seen, task, { failure, time }) : [seen, []];
}

/** Nothing that was true before is shown from now on. */
function lost(model: Model, reason: string): Model {
  const sinceMs = model.service.kind === 'down' ? model.service.sinceMs : model.nowMs;
  const { points, jobs, dialog } = model;
  const it = followedDialog(dialog);
  const place = ({ chosen, top }: PagedList<unknown>) => ({ chosen, top });
  return {
    ...model,
    service: { kind: 'down', reason, sinceMs },
    ...NOTHING_KNOWN,
    ...{ damagedSessions: [], damagedSets: [] },
    ...NO_PLACE,
    points: { ...noPoints(points.filter), ...place(points) },
    jobs: { ...NO_ROWS, ...place(jobs) },
    // The next service begins the log of a session anew.
    dialog: it ? { ...it, shown: UNKNOWN, log: NO_LOG } : dialog,
  };
}

function refused(model: Model, look: Look, message: string): Model {
  const { nowMs: atMs, dialog } = model;
  const { what } = look;
  const up: Model = { ...model, service: { kind: 'up' } };
  // It is about a directory, a search or a dialog that was left in the meantime.
  if (!isStillAsked(model, look)) return up;
  const no = { kind: 'refused', message } as const;
  if (what === 'points') {
    return { ...up, points: { ...noPoints(model.points.filter), refused: message, atMs } };
  }
  if (what === 'entries') return { ...up, entries: { ...NO_ROWS, refused: message, atMs } };
  if (what === 'jobs') return { ...up, jobs: { ...NO_ROWS, refused: message, atMs } };
  if (what !== 'shown' && what !== 'shownLog') return { ...up, [what]: no };
  const it = followedDialog(dialog);
  if (!it) return up;
  const log = { ...it.log, atMs };
  return { ...up, dialog: what === 'shown' ? { ...it, shown: no } : { ...it, log } };
}

function taskDone(
  model: Model,
  task: Task,
  { answer, time }: { readonly answer: Answer; readonly time: string },
): Next {
  const tasks = model.tasks.filter((it) => it !== task);
  const bad = failureIn(answer);
  const text = `${task.title}: ${bad ?? outcome(answer)}`;
  const done = logged({ ...model, tasks }, { time, text, isFailure: bad !== undefined });
  const isReady = answer.name === 'session/start' || answer.name === 'session/resume';
  // Whoever types something now is not interrupted: the log has it.
  const dialog: Dialog | undefined =
    isReady && !model.dialog
      ? {
          kind: 'text',
          title: `Session ${answer.result.session} runs`,
          text: readyText(answer.result, 'It goes on without this screen.'),
          ...{ isFailure: false, top: 0 },
        }
      : (shownAfter(answer, model.dialog) ?? model.dialog);
  const shows = isReady ? 'sessions' : answer.name === 'files/open' ? 'files' : model.screen;
  // Keys that are pressed on another screen by now are meant for that one.
  const isLeft = model.dialog !== undefined || model.screen !== task.from;
  const screen = isLeft ? model.screen : shows;
  const changed = changedBy(answer.name);
  // Whoever was let set this machine up without a login is done with it.
  const isLast = answer.name === 'host/finish-set-up' && model.leaving.key === 'l';
  const isEnding = model.isEnding || isLast;
  const [next, effects] = again({ ...done, dialog, screen, isEnding }, ...(changed ?? CHANGED));
  return [changed ? stepOn(next) : next, effects];
}

/** What a change may have changed. */
const CHANGED = [
  ...['facts', 'sessions', 'latest', 'active', 'jobs', 'schedules', 'opened', 'standing'],
] as const satisfies readonly LookName[];

/** What of it could not be done, although it was answered. */
function failureIn({ name, result }: Answer): string | undefined {
  if (name === 'network/test') {
    const failed = result.checks.filter(({ ok }) => !ok);
    if (failed.length === 0) return undefined;
    return failed.map(({ what, detail }) => `${what}: ${detail}`).join('; ');
  }
  if (name === 'session/keep' && result.damage.length > 0) {
    const places = result.damage.map(({ where, what }) => `${where}: ${what}`);
    return `kept as ${result.point}, but the store is damaged: ${places.join('; ')}`;
  }
  if (name !== 'host/factory-reset' || result.failed.length === 0) return undefined;
  return `not all could be reset: ${result.failed.join('; ')}`;
}

function outcome({ name, result }: Answer): string {
  if (name === 'session/start' || name === 'session/resume') {
    return `session ${result.session} runs`;
  }
  if (name === 'files/open') return `open as ${result.id}`;
  if (name === 'files/copy') return copiedWords(result);
  if (name === 'session/keep') return `kept as ${result.point}`;
  if (name === 'job/create') return `it is job ${result.job}`;
  if (name === 'job/unlock') return 'it has its key';
  if (name === 'job/cancel') return result.state === 'canceled' ? 'done' : 'it is asked to end';
  if (name !== 'schedule/create') return 'done';
  return result.next === null ? 'made' : `its first job at ${utc(result.next)} UTC`;
}

function copiedWords({ to, lost }: CopiedFiles): string {
  const some = lost.length === 0 ? '' : `, without some rights and attributes: ${lost[0]}`;
  return `they are in ${to}${some}`;
}

function taskFailed(
  model: Model,
  task: Task,
  { failure, time }: { readonly failure: Failure; readonly time: string },
): Next {
  const tasks = model.tasks.filter((it) => it !== task);
  const { title, call, form } = task;
  if (failure.kind !== 'gone' && failure.needsKeyOf !== undefined && !model.dialog) {
    const set = failure.needsKeyOf;
    return [{ ...model, tasks, dialog: { kind: 'passphrase', set, typed: '', title, call } }, []];
  }
  const unknown = 'the service went away; whether it was done shows when it is back';
  const words = failure.kind === 'gone' ? unknown : failure.message;
  const text = `${title}: ${words}`;
  const done = logged({ ...model, tasks }, { time, text, isFailure: true });
  const told: Dialog =
    form && failure.kind !== 'gone'
      ? { ...form, problem: words }
      : { kind: 'text', title: `Failed: ${title}`, text: words, isFailure: true, top: 0 };
  return again({ ...done, dialog: model.dialog ?? told }, ...(changedBy(call.name) ?? CHANGED));
}

export function reported(model: Model, { id, event }: Extract<Event, { kind: 'report' }>): Next {
  switch (event.event) {
    case 'notice':
      return [noticed(model, id, event.message), []];
    case 'progress':
      return [progressed(model, id, progressText(event)), []];
    case 'alarm':
      return again(model, 'standing', 'facts');
    case 'session':
      return again(model, 'sessions', 'facts', 'shown', 'shownLog');
    case 'job':
      return again(model, 'facts', 'latest', 'active', 'jobs', 'shown', 'shownLog');
    default:
      return [model, []];
  }
}

/** Also in the log: the next progress takes its place. */
function noticed(model: Model, id: number, text: string): Model {
  const task = model.tasks.find((it) => it.id === id);
  if (!task) return model;
  const { time } = model;
  return logged(progressed(model, id, text), { time, text: `${task.title}: ${text}` });
}

function progressed(model: Model, id: number, progress: string): Model {
  const tasks = model.tasks.map((it) => (it.id === id ? { ...it, progress } : it));
  return { ...model, tasks };
}

function progressText({ phase, position, total }: Progress): string {
  const percent = total > 0 ? Math.floor((100 * position) / total) : 100;
  return `${phase} ${percent} % (${formatSize(position)} of ${formatSize(total)})`;
}

function logged(
  model: Model,
  { time, text, isFailure = false }: { time: string; text: string; isFailure?: boolean },
): Model {
  const log = [...model.log, { time, text, isFailure }].slice(-LOG_MAX);
  return { ...model, log };
}
