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
import type { OperationName, ResultOf } from '../../operations/operations.ts';
import type { Dialog, FormDialog } from './dialog.ts';
import type { Key } from '../terminal/keys.ts';
import type { Size } from '../terminal/screen.ts';
import {
  type Answer,
  type Call,
  type Failure,
  type Known,
  type Noun,
  type Reported,
  UNKNOWN,
} from './service.ts';

/*
 * All that the console knows. `update` makes the next one of an event, `view` lines of it; neither does
 * anything. What is to be done comes out of `update` as effects.
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
  /** A service has said what it has: on a machine's own screen that may be long after this was started. */
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
  /** Alarms that are not over. */
  readonly standing: Known<readonly AlarmSummary[]>;
  readonly throughput: Known<Throughput>;
  readonly exports: Known<readonly SessionExport[]>;
  readonly network: Known<ResultOf<'network/show'>>;
  readonly machine: Known<ResultOf<'host/show'>>;
  readonly lockdown: Known<ResultOf<'lockdown/show'>>;
  readonly ssh: Known<ResultOf<'ssh/show'>>;
  readonly disks: Known<ResultOf<'disk/list'>['disks']>;
  readonly points: PointsList;
  readonly opened: Known<readonly OpenFilesSummary[]>;
  /** The directory that is looked at, what is in it, and what of its volume is marked. */
  readonly place: FilesPlace | undefined;
  readonly entries: PagedList<ResultOf<'files/browse'>['entries'][number]>;
  readonly marked: readonly string[];
  readonly jobs: PagedList<JobSummary>;
  /** Row that is chosen in the list of a screen, where that list is not a paged one; -1: none. */
  readonly chosen: Readonly<Partial<Record<ScreenName, number>>>;
  /** What was chosen in a list when it was known; absent while it is. */
  readonly chosenBefore: Readonly<Partial<Record<ScreenName, string>>>;
  readonly dialog: Dialog | undefined;
  /** The question by which the service tells what happens, once it was asked. */
  readonly follow: number | undefined;
  readonly looks: readonly Look[];
  readonly tasks: readonly Task[];
  readonly log: readonly LogEntry[];
  /** It is left as soon as nothing is lost by that; nothing more is begun. */
  readonly isEnding: boolean;
  /** What a key did not do, and why. */
  readonly hint: string;
  readonly nextId: number;
}

/** How it is left, and for what: a machine's own screen is left for a login only. */
export type Leaving =
  | { readonly key: 'q'; readonly word: 'leave' }
  | { readonly key: 'l'; readonly word: 'log in' };

/** All screens, in their order: keys 1 to 9 go by it. Here one is added. */
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

/** A part of a list, newest first: as many recovery points as are in the store would not fit anywhere. */
export interface PagedList<T> {
  readonly total: number | undefined;
  /** The index of the first of `rows`. */
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
  /** Without a leading `/`. */
  readonly path: string;
}

export interface OpenVolume {
  readonly id: string;
  readonly point: string;
  /** Undefined: it has none, or only who opened it knows them. */
  readonly volume: VolumeSummary | undefined;
}

export interface PointsList extends PagedList<PointSummary> {
  readonly filter: string;
  /** Records among those that were asked for. */
  readonly damaged: readonly DamagedPoint[];
}

/** Something that only looks: asked again and again while it is to be seen, and when something has changed. */
export interface Query {
  /** Undefined: there is nothing to ask for now. */
  readonly call: (model: Model) => Call | undefined;
  /** What is known is too old, or is not all that is to be seen. */
  readonly isDue: (model: Model) => boolean;
  readonly answered: (model: Model, answer: Answer) => Model;
  readonly refused: (model: Model, message: string) => Model;
  /** Asked again after each of these operations, or all of a noun, whatever is known. */
  readonly changedBy: readonly (OperationName | Noun)[];
  /** And after each of these events of the service. */
  readonly toldBy: readonly Reported['event'][];
}

/** A query under way. */
export interface Look {
  readonly id: number;
  readonly query: Query;
  readonly call: Call;
  readonly sinceMs: number;
}

/** What is asked as a whole, and again after a while. */
export type KnownName = keyof typeof NOTHING_KNOWN;
export type PagedName = 'points' | 'jobs' | 'entries';

/** Something that was asked for and changes things, under way. */
export interface Task {
  readonly id: number;
  readonly call: Call;
  readonly title: string;
  readonly progress: string;
  /** The screen that was seen when it was begun. */
  readonly from: ScreenName;
  /** The request: after an error the user need not type it all again. */
  readonly form: FormDialog | undefined;
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

/** Nothing changes. */
export function still(model: Model): Next {
  return [model, []];
}

export function withDialog(model: Model, dialog: Dialog | undefined): Next {
  return [{ ...model, dialog }, []];
}

/** Why a key did nothing. */
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

/** What the service has to be asked for as a whole. */
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
};

export const NO_ROWS: PagedList<never> = {
  ...{ total: undefined, first: 0, rows: [], chosen: 0, top: 0 },
  ...{ refused: undefined, atMs: 0 },
};

/** No directory is looked at. */
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

/** How long an answer may take before people are told. */
const SLOW_MS = 3000;

/** Since when the service has been silent, where that is worth a word. */
export function silentMs({ looks, nowMs }: Model): number | undefined {
  const longest = Math.max(0, ...looks.map(({ sinceMs }) => nowMs - sinceMs));
  return longest >= SLOW_MS ? longest : undefined;
}
