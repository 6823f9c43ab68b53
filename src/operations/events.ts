import type { AlarmSummary } from './nouns/alarm.ts';
import type { JobSummary } from './nouns/job.ts';

/* What is reported while an operation runs, and the objects of commands that are not operations. */

/** How far long work has come, in bytes. */
export interface Progress {
  readonly event: 'progress';
  readonly phase: string;
  readonly position: number;
  readonly total: number;
  readonly readBytes?: number;
  readonly storedBytes?: number;
}

/** A notice for people in the meantime. */
export interface Notice {
  readonly event: 'notice';
  readonly message: string;
}

/** An event or a problem of a session or a job, or what an operation has changed. */
export type Change =
  | {
      readonly event: 'session';
      readonly session: string;
      readonly what: 'started' | 'resumed' | 'stopped' | 'ended' | 'waits' | 'notice';
      /** Why it waits, or other details. */
      readonly message: string | null;
    }
  | {
      readonly event: 'job';
      readonly job: string;
      readonly state: JobSummary['state'];
      readonly reason: string | null;
    }
  | {
      readonly event: 'alarm';
      readonly message: string;
      readonly alarm: string;
      readonly what: 'raised' | 'again' | 'ended' | 'acknowledged';
      readonly level: AlarmSummary['level'];
    }
  | {
      readonly event: 'changed';
      /** It has ended, well or not: here, from another host, or as a job. */
      readonly operation: string;
      /** As declared with it. */
      readonly nouns: readonly string[];
    };

/** A session that is followed: its state now, and what has just happened. */
export interface SessionStep {
  readonly event: 'step';
  readonly session: string;
  readonly time: string;
  /** As in lists of sessions. */
  readonly state: string;
  /** The state of its machine on a hypervisor; null: it has none, or its state is not known. */
  readonly power: string | null;
  /** What it waits for; null: nothing. */
  readonly waits: string | null;
  /** A line of its log; null: its state is another one. */
  readonly message: string | null;
}

export type Report = (event: Progress | Notice | Change | SessionStep) => void;

export interface ReadyMount {
  readonly event: 'ready';
  readonly directory: string;
  readonly sets: readonly string[];
}

/** An entry in a volume. */
export interface FileEntry {
  readonly event: 'entry';
  readonly volume: string;
  /** The path, without a leading `/`. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'link' | 'other';
  readonly size: number;
  /** The mode as a number: 0o755 is 493. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modified: string;
  /** The target of a link. */
  readonly target?: string;
}
