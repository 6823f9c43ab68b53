import type { Progress } from '../../operations/events.ts';
import type { CopiedFiles } from '../../operations/nouns/files.ts';
import type { ResultOf } from '../../operations/operations.ts';
import { readyText } from '../../client/ready-text.ts';
import { formatSize } from '../../lib/sizes.ts';
import {
  type Dialog,
  followedDialog,
  following,
  NO_LOG,
  type FormDialog,
  type PassphraseDialog,
} from '../state/dialog.ts';
import {
  type Event,
  type Look,
  type Model,
  type Next,
  NO_PLACE,
  NO_ROWS,
  NOTHING_KNOWN,
  noPoints,
  type PagedList,
  type Task,
} from '../state/model.ts';
import { type Answer, type Failure, UNKNOWN } from '../state/service.ts';
import { startTask } from '../state/tasks.ts';
import { testedDialog } from '../pages/hypervisors.ts';
import { withDisks } from '../pages/machine-forms.ts';
import { addedDialog, identifiedDialog } from '../widgets/new-hypervisor.ts';
import { proofDialog } from '../pages/proof.ts';
import { checkedDialog, FOLLOWED_KINDS } from '../pages/restore-forms.ts';
import { offlineDialog } from '../pages/session.ts';
import { stepOn } from '../pages/set-up.ts';
import { wrapped } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { PROBLEM_ROWS } from '../widgets/form.ts';
import { recoveryKeyDialog } from '../widgets/recovery-key.ts';
import { textDialog } from '../widgets/scrolled.ts';
import { textWidth } from '../widgets/typed.ts';
import { withChosen } from './pages.ts';
import { changedBy, isStillAsked, refreshed, toldBy } from './queries.ts';

/* Answers and reports of the service, and how they change the model. */

const LOG_MAX = 500;

export function answered(
  model: Model,
  { id, answer, time }: Extract<Event, { kind: 'answer' }>,
): Next {
  const up: Model = { ...model, service: { kind: 'up' } };
  const look = model.looks.find((it) => it.id === id);
  if (look) {
    const looks = model.looks.filter((it) => it !== look);
    // With `refreshed`: the first answer allows further queries, and a list may have moved on.
    const next = lookAnswered(begun({ ...up, looks }, answer), look, answer);
    return refreshed(withChosen(model, next));
  }
  if (id === model.follow) return [{ ...up, follow: undefined }, []];
  const task = model.tasks.find((it) => it.id === id);
  return task ? taskDone(up, task, { answer, time }) : [up, []];
}

/** A service without a store runs on a machine that was not set up: the set-up is shown first. */
function begun(model: Model, { name, result }: Answer): Model {
  if (name !== 'service/show' || model.hasBegun) return model;
  // If the user went to another screen before the service answered, that screen stays.
  const isNew = result.storeId === null && model.screen === 'status';
  return { ...model, hasBegun: true, screen: isNew ? 'setUp' : model.screen };
}

function lookAnswered(model: Model, look: Look, answer: Answer): Model {
  // The answer may belong to a directory, a search or a dialog that was left in the meantime.
  return isStillAsked(model, look) ? look.query.answered(model, answer) : model;
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
  // If the service refuses to report, it is not asked again: it would refuse again.
  if (id === model.follow && failure.kind === 'gone') return [{ ...seen, follow: undefined }, []];
  const task = model.tasks.find((it) => it.id === id);
  return task ? taskFailed(seen, task, { failure, time }) : [seen, []];
}

/** Forgets everything that was known of the service. */
function lost(model: Model, reason: string): Model {
  const sinceMs = model.service.kind === 'down' ? model.service.sinceMs : model.nowMs;
  const { points, jobs, dialog } = model;
  const it = followedDialog(dialog);
  const place = ({ chosen, top }: PagedList<unknown>) => ({ chosen, top });
  return {
    ...model,
    service: { kind: 'down', reason, sinceMs },
    ...NOTHING_KNOWN,
    ...{ damagedSessions: [], damagedSets: [], hosted: undefined },
    ...NO_PLACE,
    points: { ...noPoints(points.filter), ...place(points) },
    jobs: { ...NO_ROWS, ...place(jobs) },
    // The next service sends the log from its beginning.
    dialog: it ? { ...it, shown: UNKNOWN, log: NO_LOG } : dialog,
  };
}

function refused(model: Model, look: Look, message: string): Model {
  const up: Model = { ...model, service: { kind: 'up' } };
  return isStillAsked(model, look) ? look.query.refused(up, message) : up;
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
  // Typing is not interrupted: the message is in the log, too.
  const dialog: Dialog | undefined =
    isReady && !model.dialog
      ? textDialog(
          `Session ${answer.result.session} runs`,
          readyText(answer.result, 'It continues without this screen.'),
        )
      : (shownAfter(answer, model.dialog, task) ?? model.dialog);
  const shows =
    isReady || answer.name === 'session/run'
      ? 'sessions'
      : answer.name === 'files/open'
        ? 'files'
        : model.screen;
  // The user is on another screen by now, and presses keys for that one.
  const isLeft = model.dialog !== undefined || model.screen !== task.from;
  const screen = isLeft ? model.screen : shows;
  // The set-up without a login has ended.
  const isLast = answer.name === 'host/finish-set-up' && model.leaving.key === 'l';
  const isEnding = model.isEnding || isLast;
  const [next, effects] = changedBy({ ...done, dialog, screen, isEnding }, answer.name);
  if (answer.name === 'hypervisor/add' && isReached(answer.result) && task.wanted) {
    const [begun, more] = startTask(next, task.wanted);
    return [{ ...begun, dialog: next.dialog }, [...effects, ...more]];
  }
  return [task.from === 'setUp' ? stepOn(next) : next, effects];
}

/** Whether nothing has to be done there before it can be used. */
function isReached({ authorizedKey }: ResultOf<'hypervisor/add'>): boolean {
  return authorizedKey === null;
}

/** Results that must be seen; a recovery key even while the user is typing. */
function shownAfter(answer: Answer, dialog: Dialog | undefined, task: Task): Dialog | undefined {
  const { name, request, result } = answer;
  const { form, wanted } = task;
  if (name === 'set/create' && result.recoveryKey !== null) {
    return recoveryKeyDialog({ set: request.set, recoveryKey: result.recoveryKey }, dialog);
  }
  if (dialog) return undefined;
  if (name === 'network/test') {
    const isFailure = result.checks.some(({ ok }) => !ok);
    const lines = result.checks.map(
      ({ what, ok, detail }) => `${ok ? 'ok    ' : 'FAILED'}  ${what}: ${detail}`,
    );
    const title = isFailure ? 'Something does not work' : 'The network works';
    return textDialog(title, lines.join('\n'), isFailure);
  }
  if (name === 'restore/machine' || name === 'restore/machine-disk') {
    return checkedDialog(answer, task);
  }
  if (name === 'job/create') {
    return FOLLOWED_KINDS.has(request.kind) ? following('job', result.job) : undefined;
  }
  if (name === 'session/run') {
    const [first, ...more] = result.sessions;
    return first && more.length === 0 ? following('session', first.session) : undefined;
  }
  if (name === 'verify/show' || name === 'verify/point') return proofDialog(result);
  if (name === 'hypervisor/add') {
    return isReached(result) && wanted ? undefined : addedDialog(result, wanted);
  }
  if (name === 'hypervisor/machines') return form && withDisks(form, result.machines[0]!);
  if (name === 'hypervisor/identify') return form && identifiedDialog(result, form.values, wanted);
  if (name === 'hypervisor/test') return testedDialog(result);
  if (name === 'session/migrate' && result.downtime) {
    return offlineDialog(answer, result.downtime, task);
  }
  if (name !== 'host/factory-reset' || result.failed.length === 0) return undefined;
  return textDialog('Not everything could be reset', result.failed.join('\n'), true);
}

/** The part that could not be done, although the operation succeeded. */
function failureIn({ name, result }: Answer): string | undefined {
  if (name === 'network/test') {
    const failed = result.checks.filter(({ ok }) => !ok);
    if (failed.length === 0) return undefined;
    return failed.map(({ what, detail }) => `${what}: ${detail}`).join('; ');
  }
  if (name === 'hypervisor/test') {
    return result.ready ? undefined : 'a backup cannot begin';
  }
  if (name === 'restore/machine' || name === 'restore/machine-disk') {
    return result.ready ? undefined : 'it cannot begin';
  }
  if (name === 'verify/point') {
    const { verdict, state, reason } = result.proof;
    return verdict === 'proven' ? undefined : `it does not work: ${state}: ${reason}`;
  }
  if (name === 'session/keep' && result.damage.length > 0) {
    const places = result.damage.map(({ where, what }) => `${where}: ${what}`);
    return `kept as ${result.point}, but the store is damaged: ${places.join('; ')}`;
  }
  if (name !== 'host/factory-reset' || result.failed.length === 0) return undefined;
  return `not everything could be reset: ${result.failed.join('; ')}`;
}

function outcome({ name, result }: Answer): string {
  if (name === 'session/start' || name === 'session/resume') {
    return `session ${result.session} runs`;
  }
  if (name === 'session/run') {
    const names = result.sessions.map(({ session }) => session);
    return `session${names.length === 1 ? '' : 's'} ${names.join(', ')}`;
  }
  if (name === 'files/put') return putWords(result);
  if (name === 'restore/machine' || name === 'restore/machine-disk') return 'it can begin';
  if (name === 'hypervisor/identify') return 'what it shows is to be compared';
  if (name === 'files/open') return `open as ${result.id}`;
  if (name === 'files/copy') return copiedWords(result);
  if (name === 'session/keep') return `kept as ${result.point}`;
  if (name === 'job/create') return `created job ${result.job}`;
  if (name === 'job/unlock') return 'unlocked';
  if (name === 'job/cancel') return result.state === 'canceled' ? 'done' : 'cancellation requested';
  if (name === 'verify/point') return `${result.proof.verdict}: ${result.proof.reason}`;
  if (name !== 'schedule/create') return 'done';
  return result.next === null ? 'created' : `first job at ${utc(result.next)} UTC`;
}

function copiedWords({ to, lost }: CopiedFiles): string {
  const some = lost.length === 0 ? '' : `, without some permissions and attributes: ${lost[0]}`;
  return `copied to ${to}${some}`;
}

function putWords({ replaced, size, lost }: ResultOf<'files/put'>): string {
  const how = replaced ? 'replaced, and compared' : 'written, and compared';
  const some = lost.length === 0 ? '' : `; not done: ${lost.join(', ')}`;
  return `${how} (${formatSize(size)})${some}`;
}

function taskFailed(
  model: Model,
  task: Task,
  { failure, time }: { readonly failure: Failure; readonly time: string },
): Next {
  const tasks = model.tasks.filter((it) => it !== task);
  const { title, call, form } = task;
  const missing = missingSecret(failure);
  if (missing && !model.dialog) {
    const { given } = task;
    const dialog = { kind: 'passphrase', ...missing, typed: '', title, call, given, form } as const;
    return [{ ...model, tasks, dialog }, []];
  }
  const unknown = 'the service stopped answering: once it is back, check whether this was done';
  const words = failure.kind === 'gone' ? unknown : failure.message;
  const text = `${title}: ${words}`;
  const done = logged({ ...model, tasks }, { time, text, isFailure: true });
  const told: Dialog =
    form && failure.kind !== 'gone'
      ? refusedForm(form, { model, title, words })
      : textDialog(`Failed: ${title}`, words, true);
  return changedBy({ ...done, dialog: model.dialog ?? told }, call.name);
}

/** What does not fit below the fields, such as a list of conditions, is shown before the form. */
function refusedForm(
  form: FormDialog,
  { model, title, words }: { model: Model; title: string; words: string },
): Dialog {
  if (wrapped(words, textWidth(model)).length <= PROBLEM_ROWS) return { ...form, problem: words };
  return { ...textDialog(`Failed: ${title}`, words, true), back: form };
}

/** What has to be typed for the task to be repeated. */
function missingSecret(failure: Failure): Pick<PassphraseDialog, 'set' | 'what'> | undefined {
  if (failure.kind === 'gone') return undefined;
  const { needsKeyOf, needsPasskeyOf } = failure;
  if (needsPasskeyOf !== undefined) return { set: needsPasskeyOf, what: 'passkey' };
  return needsKeyOf === undefined ? undefined : { set: needsKeyOf, what: 'passphrase' };
}

export function reported(model: Model, { id, event }: Extract<Event, { kind: 'report' }>): Next {
  if (event.event === 'notice') return [noticed(model, id, event.message), []];
  if (event.event === 'progress') return [progressed(model, id, progressText(event)), []];
  // The console asks for the state of a session itself.
  if (event.event === 'step') return [model, []];
  return toldBy(model, event);
}

/** Shown as progress, and in the log, because later progress replaces it. */
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
