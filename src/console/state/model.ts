import type { AlarmSummary } from '../../operations/nouns/alarm.ts';
import type { PointSummary } from '../../operations/nouns/backup.ts';
import type { DamagedPoint } from '../../operations/base/fields.ts';
import type { OpenFilesSummary, VolumeSummary } from '../../operations/nouns/files.ts';
import type { JobSummary, ScheduleSummary } from '../../operations/nouns/job.ts';
import type { SentSecret } from '../../operations/base/secret.ts';
import type { HostFacts, SessionExport, Throughput } from '../../operations/nouns/service.ts';
import type { SessionSummary } from '../../operations/nouns/session.ts';
import type { SetSummary } from '../../operations/nouns/set.ts';
import type { StoreUsage } from '../../operations/nouns/store.ts';
import type { ResultOf } from '../../operations/operations.ts';
import type { Dialog, FollowingWork, FormDialog } from './dialog.ts';
import type { Key } from '../terminal/keys.ts';
import type { Size } from '../terminal/screen.ts';
import {
  type Answer,
  type Call,
  type Failure,
  type Known,
  type Reported,
  type Work,
  UNKNOWN,
} from './service.ts';

/*
 * The whole state of this program. `update` returns the next model after an event, `view` returns its lines; both are
 * pure. `update` also returns the effects to carry out.
 */
export interface Model {
  readonly size: Size;
  readonly socket: string;
  readonly host: HostFacts;
  readonly leaving: Leaving;
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: number;
  /** ISO 8601, in UTC. */
  readonly time: string;
  readonly screen: ScreenName;
  readonly service: ServiceState;
  /**
   * Whether a service has described itself once: on a machine's own screen that may be long after the console
   * started.
   */
  readonly hasBegun: boolean;
  readonly facts: Known<ResultOf<'service/show'>>;
  readonly latest: Known<ResultOf<'backup/page'>>;
  readonly sessions: Known<readonly SessionSummary[]>;
  readonly damagedSessions: readonly DamagedPoint[];
  readonly damagedSets: readonly DamagedPoint[];
  readonly sets: Known<readonly SetSummary[]>;
  readonly schedules: Known<readonly ScheduleSummary[]>;
  /** Jobs that wait or run. */
  readonly active: Known<readonly JobSummary[]>;
  readonly usage: Known<StoreUsage>;
  /** Alarms that have not ended. */
  readonly standing: Known<readonly AlarmSummary[]>;
  readonly throughput: Known<Throughput>;
  readonly exports: Known<readonly SessionExport[]>;
  readonly network: Known<ResultOf<'network/show'>>;
  readonly machine: Known<ResultOf<'host/show'>>;
  readonly lockdown: Known<ResultOf<'lockdown/show'>>;
  readonly ssh: Known<ResultOf<'ssh/show'>>;
  readonly disks: Known<ResultOf<'disk/list'>['disks']>;
  readonly hypervisors: Known<ResultOf<'hypervisor/list'>>;
  readonly hosted: HostedMachines | undefined;
  readonly points: PointsList;
  readonly opened: Known<readonly OpenFilesSummary[]>;
  /** The directory that is shown, its entries, and the marked files of its volume. */
  readonly place: FilesPlace | undefined;
  readonly entries: PagedList<ResultOf<'files/browse'>['entries'][number]>;
  readonly marked: readonly string[];
  readonly jobs: PagedList<JobSummary>;
  /** The chosen row of each list that is not paged; -1: none. */
  readonly chosen: Readonly<Partial<Record<ScreenName, number>>>;
  /** The row that was chosen in a list before its contents became unknown; absent while they are known. */
  readonly chosenBefore: Readonly<Partial<Record<ScreenName, string>>>;
  readonly dialog: Dialog | undefined;
  /** The request by which the service reports events, once it was sent. */
  readonly follow: number | undefined;
  readonly looks: readonly Look[];
  readonly tasks: readonly Task[];
  readonly log: readonly LogEntry[];
  /** The console ends as soon as nothing is lost by that; nothing more is started. */
  readonly isEnding: boolean;
  /** The reason why a key did nothing. */
  readonly hint: string;
  readonly nextId: number;
}

/** The key that ends the console, and its word: a machine's own screen ends only for a login. */
export type Leaving =
  | { readonly key: 'q'; readonly word: 'leave' }
  | { readonly key: 'l'; readonly word: 'log in' };

/** All screens in order, by which keys 1 to 9 choose them. Add one here. */
export const SCREENS = [
  'status',
  'points',
  'sessions',
  'sets',
  'jobs',
  'schedules',
  'exports',
  'log',
  'files',
  'browse',
  'hypervisors',
  'machines',
  'alarms',
  'network',
  'machine',
  'disks',
  'ssh',
  'setUp',
] as const;

export type ScreenName = (typeof SCREENS)[number];

export type ServiceState =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'up' }
  | { readonly kind: 'down'; readonly reason: string; readonly sinceMs: number };

/** A part of a list, newest first: all recovery points of a store would not fit in memory. */
export interface PagedList<T> {
  readonly total: number | undefined;
  /** The index of `rows[0]`. */
  readonly first: number;
  readonly rows: readonly T[];
  readonly chosen: number;
  readonly top: number;
  readonly refused: string | undefined;
  readonly atMs: number;
}

/** A directory of an open volume. */
export interface FilesPlace {
  /** The ID of the open volumes, and their recovery point or session. */
  readonly id: string;
  readonly point: string;
  readonly volume: string;
  /** The disk that it is in. */
  readonly disk: string;
  /** Without a leading `/`. */
  readonly path: string;
}

/** Machines of the hypervisor that is looked at. */
export interface HostedMachines {
  readonly hypervisor: string;
  /** A text: why it did not answer. */
  readonly answer: ResultOf<'hypervisor/machines'> | string;
  /** Names of those that were marked. */
  readonly marked: readonly string[];
  readonly atMs: number;
}

export interface OpenVolume {
  readonly id: string;
  readonly point: string;
  /** Undefined: there is none, or only the process that opened it knows the volumes. */
  readonly volume: VolumeSummary | undefined;
}

export interface PointsList extends PagedList<PointSummary> {
  readonly filter: string;
  /** Damaged records in the part of the list that was requested. */
  readonly damaged: readonly DamagedPoint[];
}

/**
 * A question to the service that changes nothing: repeated while its result is shown, and after changes of what its
 * operation shows.
 */
export interface Query {
  /** Undefined: there is nothing to ask at the moment. */
  readonly call: (model: Model) => Call | undefined;
  /** Whether the result is too old, or does not cover everything that is shown. */
  readonly isDue: (model: Model) => boolean;
  readonly answered: (model: Model, answer: Answer) => Model;
  readonly refused: (model: Model, message: string) => Model;
}

/** A query under way. */
export interface Look {
  readonly id: number;
  readonly query: Query;
  readonly call: Call;
  readonly sinceMs: number;
}

/** A result that is asked for as a whole, and again after a while. */
export type KnownName = keyof typeof NOTHING_KNOWN;
export type PagedName = 'points' | 'jobs' | 'entries';

/** An operation that a user has started, under way. */
export interface Task {
  readonly id: number;
  readonly call: Call;
  readonly title: string;
  readonly progress: string;
  /** The screen from which it was started. */
  readonly from: ScreenName;
  /** The form with the request: after an error the user can correct it. */
  readonly form: FormDialog | undefined;
  /** What is started once it is done. */
  readonly wanted: FollowingWork | undefined;
  /** Its secrets, in case that it is repeated with one more. */
  readonly given: Pick<Work, 'secret' | 'passkey'>;
}

export interface LogEntry {
  readonly time: string;
  readonly text: string;
  readonly isFailure: boolean;
}

export type Effect =
  | {
      readonly kind: 'ask';
      readonly id: number;
      readonly call: Call;
      readonly secret: SentSecret | undefined;
      readonly passkey?: string | undefined;
    }
  | { readonly kind: 'redraw' }
  | { readonly kind: 'leave' };

export type Event =
  | { readonly kind: 'key'; readonly key: Key }
  | { readonly kind: 'resize'; readonly size: Size }
  | { readonly kind: 'tick'; readonly nowMs: number; readonly time: string }
  | { readonly kind: 'report'; readonly id: number; readonly event: Reported }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answer; readonly time: string }
  | {
      readonly kind: 'failed';
      readonly id: number;
      readonly failure: Failure;
      readonly time: string;
    };

export type Next = readonly [Model, readonly Effect[]];

/** The same model without effects. */
export function still(model: Model): Next {
  return [model, []];
}

export function withDialog(model: Model, dialog: Dialog | undefined): Next {
  return [{ ...model, dialog }, []];
}

/** The model with the reason why a key did nothing. */
export function withHint(model: Model, hint: string): Next {
  return [{ ...model, hint }, []];
}

export function firstModel(of: {
  readonly size: Size;
  readonly socket: string;
  readonly host: HostFacts;
  readonly leaving: Leaving;
  readonly screen: ScreenName;
  readonly nowMs: number;
}): Model {
  return {
    ...of,
    service: UNKNOWN,
    hasBegun: false,
    ...NOTHING_KNOWN,
    damagedSessions: [],
    damagedSets: [],
    hosted: undefined,
    points: noPoints(''),
    jobs: NO_ROWS,
    ...NO_PLACE,
    chosen: {},
    chosenBefore: {},
    dialog: undefined,
    ...{ time: '', follow: undefined },
    looks: [],
    tasks: [],
    log: [],
    isEnding: false,
    hint: '',
    nextId: 1,
  };
}

/** Results that are asked for as a whole. */
export const NOTHING_KNOWN = {
  facts: UNKNOWN,
  latest: UNKNOWN,
  sessions: UNKNOWN,
  sets: UNKNOWN,
  schedules: UNKNOWN,
  opened: UNKNOWN,
  active: UNKNOWN,
  usage: UNKNOWN,
  standing: UNKNOWN,
  throughput: UNKNOWN,
  exports: UNKNOWN,
  network: UNKNOWN,
  machine: UNKNOWN,
  lockdown: UNKNOWN,
  ssh: UNKNOWN,
  disks: UNKNOWN,
  hypervisors: UNKNOWN,
};

export const NO_ROWS: PagedList<never> = {
  ...{ total: undefined, first: 0, rows: [], chosen: 0, top: 0 },
  ...{ refused: undefined, atMs: 0 },
};

/** No directory is shown. */
export const NO_PLACE = { place: undefined, entries: NO_ROWS, marked: [] } as const;

export function noPoints(filter: string): PointsList {
  return { ...NO_ROWS, filter, damaged: [] };
}

const FRAME_ROWS = 5;

/** Rows between the head and the foot of the screen. */
export function bodyRows({ size }: Model): number {
  return Math.max(1, size.rows - FRAME_ROWS);
}

/** Rows of a list under its heading. */
export function listRows(model: Model): number {
  return Math.max(1, bodyRows(model) - 1);
}

export const SMALLEST: Size = { columns: 80, rows: 24 };

export function isTooSmall({ columns, rows }: Size): boolean {
  return columns < SMALLEST.columns || rows < SMALLEST.rows;
}

/** Above this the console says that the service is slow. */
const SLOW_MS = 3000;

/** The time for which the service has not answered, if it is long enough to mention. */
export function silentMs({ looks, nowMs }: Model): number | undefined {
  const longest = Math.max(0, ...looks.map(({ sinceMs }) => nowMs - sinceMs));
  return longest >= SLOW_MS ? longest : undefined;
}
