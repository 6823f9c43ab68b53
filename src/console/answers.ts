import { formatSize } from '../lib/sizes.ts';
import type { Progress } from '../protocol/results.ts';
import { again, refreshed } from './asking.ts';
import { chosenSession } from './lists.ts';
import {
  type Answer,
  type Dialog,
  type Event,
  type Failure,
  type Task,
  listRows,
  type Look,
  type Model,
  type Next,
  noPoints,
  type PointsList,
  UNKNOWN,
} from './model.ts';
import { readyText } from '../client/ready-text.ts';

/* What the service says, and what becomes of the model by it. */

const LOG_MAX = 500;
const ALARMS_MAX = 50;

export function answered(
  model: Model,
  { id, answer, time }: Extract<Event, { kind: 'answer' }>,
): Next {
  const up: Model = { ...model, service: { kind: 'up' } };
  const look = model.looks.find((it) => it.id === id);
  if (look) {
    const looks = model.looks.filter((it) => it !== look);
    // With `refreshed`: the first answer opens the way for other questions, and a list may have moved on.
    return refreshed(lookAnswered({ ...up, looks }, look, answer));
  }
  if (id === model.follow) return [{ ...up, follow: undefined }, []];
  const task = model.tasks.find((it) => it.id === id);
  return task ? taskDone(up, task, { answer, time }) : [up, []];
}

function lookAnswered(model: Model, { what }: Look, answer: Answer): Model {
  const known = <T>(value: T) => ({ kind: 'known', value, atMs: model.nowMs }) as const;
  if (answer.name === 'service/show') {
    return { ...model, facts: known(answer.result), host: answer.result.host };
  }
  if (answer.name === 'session/list') return withSessions(model, known(answer.result.sessions));
  if (answer.name === 'set/list') return { ...model, sets: known(answer.result.sets) };
  if (answer.name !== 'backup/page') return model;
  return what === 'latest'
    ? { ...model, latest: known(answer.result) }
    : { ...model, points: pageArrived(model, answer) };
}

/** Who has chosen a session goes on having it, or nothing: keys never act on another one than was seen. */
function withSessions(model: Model, sessions: Model['sessions']): Model {
  const before = chosenSession(model)?.session ?? model.sessionBefore;
  if (before === undefined || sessions.kind !== 'known') {
    return { ...model, sessions, sessionBefore: before };
  }
  const row = sessions.value.findIndex(({ session }) => session === before);
  const chosen = { ...model.chosen, sessions: row };
  return { ...model, sessions, chosen, sessionBefore: undefined };
}

/** Who has chosen a recovery point goes on having it, though newer ones push it down. */
function pageArrived(model: Model, answer: Extract<Answer, { name: 'backup/page' }>): PointsList {
  const { points, nowMs } = model;
  // Of a filter that was left meanwhile.
  if ((answer.request.contains ?? '') !== points.filter) return points;
  const { total, first, points: rows, damaged } = answer.result;
  const before = points.rows[points.chosen - points.first]?.point;
  const at = before === undefined ? -1 : rows.findIndex(({ point }) => point === before);
  const wanted = at < 0 ? points.chosen : first + at;
  const chosen = Math.max(0, Math.min(wanted, total - 1));
  const shifted = points.top + chosen - points.chosen;
  const top = Math.max(0, Math.min(shifted, total - listRows(model)));
  const refused = undefined;
  return { ...points, total, first, rows, damaged, chosen, top, refused, atMs: nowMs };
}

export function failed(
  model: Model,
  { id, failure, time }: Extract<Event, { kind: 'failed' }>,
): Next {
  const seen = failure.kind === 'gone' ? lost(model, failure.message) : model;
  const look = model.looks.find((it) => it.id === id);
  if (look) {
    const looks = model.looks.filter((it) => it !== look);
    const next = { ...seen, looks };
    return [failure.kind === 'gone' ? next : refused(next, look, failure.message), []];
  }
  // A service that refuses is not asked again: it will not change its mind.
  if (id === model.follow && failure.kind === 'gone') return [{ ...seen, follow: undefined }, []];
  const task = model.tasks.find((it) => it.id === id);
  return task ? taskFailed(seen, task, { failure, time }) : [seen, []];
}

/** Nothing that was true before is shown from now on. */
function lost(model: Model, reason: string): Model {
  const sinceMs = model.service.kind === 'down' ? model.service.sinceMs : model.nowMs;
  const { filter, chosen, top } = model.points;
  return {
    ...withSessions(model, UNKNOWN),
    service: { kind: 'down', reason, sinceMs },
    ...{ facts: UNKNOWN, latest: UNKNOWN, sets: UNKNOWN },
    points: { ...noPoints(filter), chosen, top },
  };
}

function refused(model: Model, { what }: Look, message: string): Model {
  const up: Model = { ...model, service: { kind: 'up' } };
  if (what === 'sessions') return withSessions(up, { kind: 'refused', message });
  if (what !== 'points') return { ...up, [what]: { kind: 'refused', message } };
  const { filter } = model.points;
  return { ...up, points: { ...noPoints(filter), refused: message, atMs: model.nowMs } };
}

function taskDone(
  model: Model,
  task: Task,
  { answer, time }: { readonly answer: Answer; readonly time: string },
): Next {
  const tasks = model.tasks.filter((it) => it !== task);
  const done = logged({ ...model, tasks }, { time, text: `${task.title}: ${outcome(answer)}` });
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
      : model.dialog;
  const screen = isReady && !model.dialog ? 'sessions' : model.screen;
  return again({ ...done, dialog, screen }, 'sessions', 'latest', 'facts');
}

function outcome(answer: Answer): string {
  const { name, result } = answer;
  if (name === 'session/start' || name === 'session/resume') {
    return `session ${result.session} runs`;
  }
  return name === 'session/keep' ? `kept as ${result.point}` : 'done';
}

function taskFailed(
  model: Model,
  task: Task,
  { failure, time }: { readonly failure: Failure; readonly time: string },
): Next {
  const tasks = model.tasks.filter((it) => it !== task);
  const { title, call } = task;
  if (failure.kind !== 'gone' && failure.needsKeyOf !== undefined && !model.dialog) {
    const set = failure.needsKeyOf;
    return [{ ...model, tasks, dialog: { kind: 'passphrase', set, typed: '', title, call } }, []];
  }
  const unknown = 'the service went away; whether it was done shows when it is back';
  const words = failure.kind === 'gone' ? unknown : failure.message;
  const text = `${title}: ${words}`;
  const done = logged({ ...model, tasks }, { time, text, isFailure: true });
  const dialog: Dialog = model.dialog ?? {
    ...{ kind: 'text', title: `Failed: ${title}`, text: words, isFailure: true, top: 0 },
  };
  return again({ ...done, dialog }, 'sessions', 'facts');
}

export function reported(model: Model, { id, event }: Extract<Event, { kind: 'report' }>): Next {
  switch (event.event) {
    case 'notice':
      return [progressed(model, id, event.message), []];
    case 'progress':
      return [progressed(model, id, progressText(event)), []];
    case 'alarm':
      return [alarmed(model, event.message), []];
    case 'session':
      return again(model, 'sessions', 'facts');
    case 'job': {
      const { state, job, reason } = event;
      const words = `Job ${job} has failed${reason === null ? '' : `: ${reason}`}`;
      return again(state === 'failed' ? alarmed(model, words) : model, 'facts', 'latest');
    }
    default:
      return [model, []];
  }
}

function progressed(model: Model, id: number, progress: string): Model {
  const tasks = model.tasks.map((it) => (it.id === id ? { ...it, progress } : it));
  return { ...model, tasks };
}

function alarmed(model: Model, message: string): Model {
  const alarms = [{ time: model.time, message }, ...model.alarms].slice(0, ALARMS_MAX);
  return { ...model, alarms };
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
