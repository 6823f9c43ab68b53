import { FormatError } from '../../format-error.ts';
import type { Fields } from '../base/json-record.ts';
import { idIn, requireDistinct } from '../base/names.ts';

/*
 * The part of a session's journal that is about its machine on a managed hypervisor: what was planned, what was made
 * there, how far it is, and for what it waits. Grammar: session.md.
 */

export interface Placement {
  /** The name of the hypervisor in Holdfast. */
  readonly hypervisor: string;
  readonly plan: PlacementPlan;
  /** The pool to move to, and of the writes that are kept there; undefined: none was chosen yet. */
  readonly pool: string | undefined;
  readonly goal: PlacementGoal;
  /** How the machine is stopped when it is withdrawn. */
  readonly stop: StopHow;
  /** By which the hypervisor knows the machine that was made; undefined: none that we know of. */
  readonly machine: string | undefined;
  /** The machine that is renamed for the session, from before that until it was given its name back, or left. */
  readonly aside: string | undefined;
  readonly disks: readonly PlacedDisk[];
  /** Undefined: its disks move while it runs, or do not move. */
  readonly offline: OfflineMove | undefined;
  /** How many copies in a row have ended before they were complete. */
  readonly lostCopies: number;
  /** ISO 8601, UTC: when the hypervisor said first that the machine runs. */
  readonly firstOn: string | undefined;
  /** The same: when it said first that the guest's agent answers. */
  readonly firstHeartbeat: string | undefined;
  /** Whether it was to move once: from then on it moves only when a person says so. */
  readonly wasToMove: boolean;
  readonly waits: PlacementWait | undefined;
  /** Undefined: it is not one of several machines that are run together. */
  readonly run: RunPart | undefined;
}

/** Its place in a run of several machines. */
export interface RunPart {
  /** What all machines of the run have in common. */
  readonly id: string;
  /** The session whose machine starts before; undefined: it is the first. */
  readonly after: string | undefined;
  readonly gap: RunGap;
  /** It waits for no other any longer. */
  readonly isTurn: boolean;
  /** ISO 8601, UTC: since when the machine before runs, or its agent answers (see placement.md); undefined: not yet. */
  readonly from: string | undefined;
}

const GAPS = ['delay', 'heartbeat'] as const;
/**
 * Between the starts of two machines. `delay`: so long after the one before began to run. `heartbeat`: once its guest's
 * agent answers; if it has not after that time, those after it do not start.
 */
export interface RunGap {
  readonly kind: (typeof GAPS)[number];
  readonly seconds: number;
}

/** What was chosen when the session began; what the recovery point says is not repeated. */
export interface PlacementPlan {
  readonly name: string;
  readonly uuid: string;
  /** By the MAC of a card, the name of the hypervisor's network. */
  readonly networks: Readonly<Record<string, string>>;
  /** Whether the machine starts with its hypervisor once it has moved. */
  readonly autostart: boolean;
  /** Whether it is started as soon as it is there. */
  readonly powerOn: boolean;
  /** The machine whose place it takes, and what becomes of that once its own has moved. */
  readonly replaces: { readonly machine: string; readonly afterwards: OldMachine } | undefined;
  readonly moves: MoveWhen;
  readonly writes: WritesTo;
}

const WRITES = ['here', 'there'] as const;
/** Where what the guest writes is kept: in the session, or in the pool, on disks over what the session serves. */
export type WritesTo = (typeof WRITES)[number];

/** Its disks move while it is off. */
export interface OfflineMove {
  /** Whether it is started once they have. */
  readonly start: boolean;
  /** How it is stopped if it runs; undefined: it is not, and nothing moves before it is off. */
  readonly stop: StopHow | undefined;
}

const OLD_MACHINES = ['keep', 'delete'] as const;
/** `keep`: under another name. `delete`: its definition goes; its disks stay where they are. */
export type OldMachine = (typeof OLD_MACHINES)[number];

/**
 * When the machine begins to move to the hypervisor by itself: as soon as it is there, once its guest's agent answers,
 * so long after it was started, or never.
 */
export type MoveWhen =
  | { readonly kind: 'now' | 'heartbeat' | 'asked' }
  | { readonly kind: 'after'; readonly seconds: number };

export interface PlacedDisk {
  readonly name: string;
  /** As the hypervisor names what Holdfast shows; undefined: not shown yet. */
  readonly shown: string | undefined;
  /** As it names the disk in the pool, which with writes there is what is shown; undefined: not reserved yet. */
  readonly reserved: string | undefined;
  /** Where the hypervisor said last that it is; undefined: it was not asked yet. */
  readonly place: DiskPlace | undefined;
  /** Whether it was ever seen on its reserved disk: from then on there is only forward. */
  readonly pivoted: boolean;
}

export interface PlacementWait {
  readonly reason: WaitReason;
  /** ISO 8601, UTC. */
  readonly since: string;
  /** For people: what happened, and what to do. */
  readonly message: string;
}

const PLACEMENT_GOALS = ['run', 'move', 'keep', 'discard'] as const;
/** What the session is to come to. `run`: it stays as it is. */
export type PlacementGoal = (typeof PLACEMENT_GOALS)[number];

const STOPS = ['shutdown', 'off'] as const;
/** `shutdown` asks the guest. */
export type StopHow = (typeof STOPS)[number];

const DISK_PLACES = ['ours', 'target', 'elsewhere'] as const;
/** See hypervisors/base/run-driver.ts. */
export type DiskPlace = (typeof DISK_PLACES)[number];

const WAIT_REASONS = [
  'away',
  'busy',
  'no-space',
  'machine-off',
  'machine-gone',
  'turn',
  'person',
] as const;
/**
 * `away`: the hypervisor cannot be reached. `busy`: another job is running there. `machine-off`: the machine has to run
 * for the next step, or to end. `machine-gone`: the hypervisor no longer has it. `turn`: another machine of its run
 * starts before. `person`: one has to decide.
 */
export type WaitReason = (typeof WAIT_REASONS)[number];

/** The longest path of a disk, or text of a hypervisor, in a journal. */
export const PLACEMENT_TEXT_MAX = 1024;
const NETWORKS_MAX = 64;
const LOST_COPIES_MAX = 1000;
const MOVES = ['now', 'heartbeat', 'asked', 'after'] as const;
/** A month: for a longer time, a person decides. */
const SECONDS_MAX = 31 * 86_400;

export function encodePlacement({ plan, ...placement }: Placement): object {
  const networks = Object.entries(plan.networks).map(([mac, network]) => ({ mac, network }));
  return { ...placement, plan: { ...plan, networks } };
}

export function decodePlacement(fields: Fields, disksMax: number): Placement {
  return {
    hypervisor: text(fields, 'hypervisor'),
    plan: decodePlan(fields.object('plan')),
    pool: optional(fields, 'pool'),
    goal: fields.oneOf('goal', PLACEMENT_GOALS),
    stop: fields.oneOf('stop', STOPS),
    machine: optional(fields, 'machine'),
    aside: optional(fields, 'aside'),
    disks: requireDistinct(fields.list('disks', disksMax, decodeDisk), 'placed disks'),
    offline: fields.has('offline') ? decodeOffline(fields.object('offline')) : undefined,
    lostCopies: fields.integer('lostCopies', 0, LOST_COPIES_MAX),
    firstOn: optional(fields, 'firstOn'),
    firstHeartbeat: optional(fields, 'firstHeartbeat'),
    wasToMove: fields.flag('wasToMove'),
    waits: fields.has('waits') ? decodeWait(fields.object('waits')) : undefined,
    run: fields.has('run') ? decodeRun(fields.object('run')) : undefined,
  };
}

function decodeOffline(fields: Fields): OfflineMove {
  const stop = fields.has('stop') ? fields.oneOf('stop', STOPS) : undefined;
  return { start: fields.flag('start'), stop };
}

function decodeRun(fields: Fields): RunPart {
  const gap = fields.object('gap');
  return {
    id: idIn(fields, 'id'),
    after: fields.has('after') ? idIn(fields, 'after') : undefined,
    gap: { kind: gap.oneOf('kind', GAPS), seconds: gap.integer('seconds', 0, SECONDS_MAX) },
    isTurn: fields.flag('isTurn'),
    from: optional(fields, 'from'),
  };
}

function decodeDisk(fields: Fields): PlacedDisk {
  return {
    name: idIn(fields, 'name'),
    shown: optional(fields, 'shown'),
    reserved: optional(fields, 'reserved'),
    place: fields.has('place') ? fields.oneOf('place', DISK_PLACES) : undefined,
    pivoted: fields.flag('pivoted'),
  };
}

function decodePlan(fields: Fields): PlacementPlan {
  const networks = fields.list('networks', NETWORKS_MAX, (it) => [
    text(it, 'mac'),
    text(it, 'network'),
  ]);
  return {
    name: text(fields, 'name'),
    uuid: text(fields, 'uuid'),
    networks: Object.fromEntries(networks) as Record<string, string>,
    autostart: fields.flag('autostart'),
    powerOn: fields.flag('powerOn'),
    replaces: fields.has('replaces') ? decodeReplaced(fields.object('replaces')) : undefined,
    moves: decodeMoves(fields.object('moves')),
    writes: fields.oneOf('writes', WRITES),
  };
}

function decodeReplaced(fields: Fields): PlacementPlan['replaces'] {
  return { machine: text(fields, 'machine'), afterwards: fields.oneOf('afterwards', OLD_MACHINES) };
}

function decodeMoves(fields: Fields): MoveWhen {
  const kind = fields.oneOf('kind', MOVES);
  if (kind !== 'after') return { kind };
  return { kind, seconds: fields.integer('seconds', 0, SECONDS_MAX) };
}

function decodeWait(fields: Fields): PlacementWait {
  return {
    reason: fields.oneOf('reason', WAIT_REASONS),
    since: text(fields, 'since'),
    message: text(fields, 'message'),
  };
}

function optional(fields: Fields, name: string): string | undefined {
  return fields.has(name) ? text(fields, name) : undefined;
}

function text(fields: Fields, name: string): string {
  const found = fields.text(name);
  if (found.length <= PLACEMENT_TEXT_MAX) return found;
  throw new FormatError('CORRUPT', `placement's "${name}" is longer than ${PLACEMENT_TEXT_MAX}`);
}
