import type { JobSummary } from '../../operations/nouns/job.ts';
import type { SessionSummary } from '../../operations/nouns/session.ts';
import { type Call, type Known, UNKNOWN, type Work } from './service.ts';

/* Dialogs: questions and messages that replace a screen. */

export type Dialog =
  | FormDialog
  | ConfirmDialog
  | PassphraseDialog
  | JobDialog
  | SessionDialog
  | TextDialog
  | SecretDialog
  | RecoveryKeyDialog
  | { readonly kind: 'filter'; readonly typed: string }
  | { readonly kind: 'leave' };

export interface TextDialog {
  readonly kind: 'text';
  readonly title: string;
  readonly text: string;
  readonly isFailure: boolean;
  readonly top: number;
}

export interface FormDialog {
  readonly kind: 'form';
  readonly form: Form;
  readonly title: string;
  /** Row of the fields that matter. */
  readonly field: number;
  readonly values: FormValues;
  /** Why it was not done. */
  readonly problem: string;
}

export type FormValues = Readonly<Record<string, string>>;

export interface Form {
  readonly fields: readonly FormField[];
  /** What Enter does, as it stands at the bottom. */
  readonly does: string;
  /** A request to the service, a question to the user first, or an error. */
  submit(values: FormValues): Work | Dialog | string;
}

export interface FormField {
  readonly name: string;
  readonly label: string;
  readonly note: string;
  /** What it may be; undefined: it is typed. */
  readonly choices?: readonly string[];
  /** Whether it is asked at all, as the others stand. */
  readonly matters?: (values: FormValues) => boolean;
}

/** The word has to be typed: what is done cannot be undone. */
export interface ConfirmDialog {
  readonly kind: 'confirm';
  readonly question: string;
  readonly word: string;
  readonly typed: string;
  readonly title: string;
  readonly call: Call;
}

export interface PassphraseDialog {
  readonly kind: 'passphrase';
  readonly set: string;
  readonly typed: string;
  readonly title: string;
  readonly call: Call;
}

/** A new password or passphrase. */
export interface SecretDialog {
  readonly kind: 'secret';
  readonly title: string;
  readonly question: string;
  /** Characters. */
  readonly min: number;
  readonly typed: string;
  /** As it was typed the first time. */
  readonly first: string | undefined;
  readonly problem: string;
  readonly call: Call;
}

/** The one time that a recovery key is shown. */
export interface RecoveryKeyDialog extends NewRecoveryKey {
  readonly kind: 'recovery-key';
  readonly typed: string;
  readonly isHidden: boolean;
  /** Those that came while this one is shown: each has to be confirmed too. */
  readonly waiting: readonly NewRecoveryKey[];
}

export interface NewRecoveryKey {
  readonly set: string;
  readonly recoveryKey: string;
}

/** A job, or a session, as it goes on. */
interface Followed<K extends string, T> {
  readonly kind: K;
  readonly id: string;
  readonly shown: Known<T>;
  readonly log: FollowedLog;
}
export type JobDialog = Followed<'job', JobSummary>;
export type SessionDialog = Followed<'session', SessionSummary>;
export type FollowedDialog = JobDialog | SessionDialog;

export function following(kind: FollowedDialog['kind'], id: string): FollowedDialog {
  return { kind, id, shown: UNKNOWN, log: NO_LOG };
}

/** What is looked at as it goes on, if anything is. */
export function followedDialog(dialog: Dialog | undefined): FollowedDialog | undefined {
  return dialog?.kind === 'job' || dialog?.kind === 'session' ? dialog : undefined;
}

/** The newest lines of a log that grows. */
export interface FollowedLog {
  readonly lines: readonly LogLine[];
  /** How many there have been in all. */
  readonly count: number;
  readonly atMs: number | undefined;
  /** Rows from its end that are below what is shown: 0 follows it. */
  readonly back: number;
}

export interface LogLine {
  readonly time: string;
  readonly message: string;
}

export const NO_LOG: FollowedLog = { lines: [], count: 0, atMs: undefined, back: 0 };

/** More is for `job log`. */
const LINES_MAX = 1000;

/** With `lines` behind the `first` ones. */
export function followed(
  log: FollowedLog,
  { first, lines, atMs }: { first: number; lines: readonly LogLine[]; atMs: number },
): FollowedLog {
  if (first !== log.count) return log;
  const all = [...log.lines, ...lines].slice(-LINES_MAX);
  const back = log.back === 0 ? 0 : log.back + lines.length;
  return { lines: all, count: first + lines.length, atMs, back: Math.min(back, all.length) };
}
