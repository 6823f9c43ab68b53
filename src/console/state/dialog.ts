import type { JobSummary } from '../../operations/nouns/job.ts';
import type { ShownSession } from '../../operations/nouns/session.ts';
import type { ResultOf } from '../../operations/operations.ts';
import { type Call, type Known, UNKNOWN, type Work } from './service.ts';

/* Dialogs: questions and messages that replace a screen. */

export type Dialog =
  | FormDialog
  | ConfirmDialog
  | PassphraseDialog
  | JobDialog
  | SessionDialog
  | TextDialog
  | ProofDialog
  | SecretDialog
  | RecoveryKeyDialog
  | { readonly kind: 'filter'; readonly typed: string }
  | { readonly kind: 'leave' };

/** What the user wanted in the first place, and the form with it: it follows once the hypervisor is added. */
export type FollowingWork = Work & { readonly form: FormDialog; readonly hypervisor: string };
/** `form`: shown again if the work fails. */
export type StartedWork = Work & {
  readonly form?: FormDialog;
  readonly wanted?: FollowingWork | undefined;
};

export interface TextDialog {
  readonly kind: 'text';
  readonly title: string;
  readonly text: string;
  readonly isFailure: boolean;
  readonly top: number;
  /** What Enter does, if the text is about something that has not begun: `start it`. */
  readonly next?: { readonly does: string; readonly work: StartedWork };
  /** The form that is shown again after it. */
  readonly back?: FormDialog;
}

/** The last proof of a recovery point. */
export interface ProofDialog {
  readonly kind: 'proof';
  readonly shown: ResultOf<'verify/show'>;
  readonly top: number;
}

export interface FormDialog {
  readonly kind: 'form';
  readonly form: Form;
  readonly title: string;
  /** The row of the current field, among those that matter. */
  readonly field: number;
  readonly values: FormValues;
  /** The reason why it was refused. */
  readonly problem: string;
  /** What was learned for it in the meantime, for values that it offers. */
  readonly learned?: Learned;
}

/** What the service said of what a form is about. */
export interface Learned {
  readonly there?: {
    readonly hypervisor: string;
    readonly known: Known<ResultOf<'hypervisor/machines'>>;
    readonly askedMs: number;
  };
  /** Refused: without its key, its networks are not known. */
  readonly point?: { readonly point: string; readonly known: Known<ResultOf<'backup/show'>> };
}

export type FormValues = Readonly<Record<string, string>>;

export interface Form {
  readonly fields: readonly FormField[];
  /** What Enter does, for the bottom line. */
  readonly does: string;
  /** A request to the service, a question to the user first, or an error. */
  submit(values: FormValues): StartedWork | Dialog | string;
  /** Another form in its place, once the field of that name has another value. */
  turned?(values: FormValues, name: string): FormDialog | undefined;
  /** The hypervisor and the recovery point that it is about: what is known of them is offered as values. */
  about?(values: FormValues): { readonly hypervisor?: string; readonly point?: string };
}

export interface FormField {
  readonly name: string;
  readonly label: string;
  readonly note: string;
  /** The allowed values; undefined: any text can be typed. */
  readonly choices?: readonly string[];
  /** Values that are offered for one that is typed. */
  readonly offers?: (values: FormValues, learned: Learned) => readonly string[];
  /** Whether several values can be typed, separated by commas; each may have spaces in it. */
  readonly isList?: boolean;
  /** Whether this field is asked for, given the values of the others. */
  readonly matters?: (values: FormValues) => boolean;
}

/** Something that cannot be undone: the user has to type the word. */
export interface ConfirmDialog {
  readonly kind: 'confirm';
  readonly question: string;
  readonly word: string;
  readonly typed: string;
  readonly title: string;
  readonly call: Call;
  readonly wanted?: FollowingWork | undefined;
}

export interface PassphraseDialog {
  readonly kind: 'passphrase';
  readonly set: string;
  readonly what: 'passphrase' | 'passkey';
  readonly typed: string;
  readonly title: string;
  readonly call: Call;
  /** What was typed for it before. */
  readonly given: Pick<Work, 'secret' | 'passkey'>;
  /** The form from which it came. */
  readonly form: FormDialog | undefined;
}

/** A new password or passphrase. */
export interface SecretDialog {
  readonly kind: 'secret';
  readonly title: string;
  readonly question: string;
  /** The least number of characters. */
  readonly min: number;
  readonly typed: string;
  /** The text typed the first time. */
  readonly first: string | undefined;
  readonly problem: string;
  readonly call: Call;
}

/** A recovery key, which is shown only this once. */
export interface RecoveryKeyDialog extends NewRecoveryKey {
  readonly kind: 'recovery-key';
  readonly typed: string;
  readonly isHidden: boolean;
  /** Keys that came while this one is shown: each has to be confirmed, too. */
  readonly waiting: readonly NewRecoveryKey[];
}

export interface NewRecoveryKey {
  readonly set: string;
  readonly recoveryKey: string;
}

/** A job or a session, followed as it proceeds. */
interface Followed<K extends string, T> {
  readonly kind: K;
  readonly id: string;
  readonly shown: Known<T>;
  readonly log: FollowedLog;
}
export type JobDialog = Followed<'job', JobSummary>;
export type SessionDialog = Followed<'session', ShownSession>;
export type FollowedDialog = JobDialog | SessionDialog;

export function following(kind: FollowedDialog['kind'], id: string): FollowedDialog {
  return { kind, id, shown: UNKNOWN, log: NO_LOG };
}

/** The dialog, if it follows a job or a session. */
export function followedDialog(dialog: Dialog | undefined): FollowedDialog | undefined {
  return dialog?.kind === 'job' || dialog?.kind === 'session' ? dialog : undefined;
}

/** The newest lines of a growing log. */
export interface FollowedLog {
  readonly lines: readonly LogLine[];
  /** The number of lines so far, including dropped ones. */
  readonly count: number;
  readonly atMs: number | undefined;
  /** Rows below the visible part, up to the end of the log; 0: follows the end. */
  readonly back: number;
}

type LogLine = ResultOf<'job/log'>['lines'][number];

export const NO_LOG: FollowedLog = { lines: [], count: 0, atMs: undefined, back: 0 };

/** Older lines are dropped: `job log` shows all. */
const LINES_MAX = 1000;

/** The log with `lines`, which follow its `first` ones. */
export function followed(
  log: FollowedLog,
  { first, lines, atMs }: { first: number; lines: readonly LogLine[]; atMs: number },
): FollowedLog {
  if (first !== log.count) return log;
  const all = [...log.lines, ...lines].slice(-LINES_MAX);
  const back = log.back === 0 ? 0 : log.back + lines.length;
  return { lines: all, count: first + lines.length, atMs, back: Math.min(back, all.length) };
}
