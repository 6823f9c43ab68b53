import type { MachineDescription, PointFileKind } from '../../formats/store/catalog/machine.ts';
import type { ExportWay } from './export-way.ts';
import type { Finding } from './finding.ts';
import type { MachineId } from './machines.ts';

/*
 * A machine of a session on a managed host: it starts from disks that Holdfast serves, moves to disks of the host
 * while it runs, and stays there; or it is withdrawn, and the host is as before.
 *
 * Each call begins, or finds what it or an earlier one began: repeated, also by another process after a crash, it has
 * one effect. What takes long is polled. Everything made carries the session as its mark. A call that changes a
 * machine finds it by its ID and by that mark, and rejects CONFLICT where one of them is another's; NOT_FOUND if it is
 * gone. Disks that a machine has on the host itself are never removed by any call.
 */
export interface RunDriver {
  /** The way to disks of sessions: also when the connection has ended. */
  readonly exports: ExportWay;
  places(signal: AbortSignal): Promise<Places>;
  /** What stands in the way of a run; has no effects. */
  check(plan: RunPlan, signal: AbortSignal): Promise<readonly Finding[]>;
  /**
   * Empty disks of exactly the final sizes, in the plan's pool; for writes there, over what the session serves. Rejects
   * NO_SPACE.
   */
  reserve(plan: RunPlan, signal: AbortSignal): Promise<readonly ReservedDisk[]>;
  /** Removes of the reserved disks those that no machine uses. */
  release(session: string, signal: AbortSignal): Promise<void>;
  /**
   * Makes what Holdfast serves known to the host (a datastore, a storage; for some nothing). Returns what the machine
   * will be defined on: for writes there the reserved disks. Rejects NOT_FOUND if one of these is missing.
   */
  show(plan: RunPlan, signal: AbortSignal): Promise<readonly ShownDisk[]>;
  /** Ends `show`. Rejects BUSY while a machine uses it. What another session shows stays. */
  hide(session: string, signal: AbortSignal): Promise<void>;
  /**
   * Gives another machine, whose place the session's takes, a name that says so. Rejects BUSY if it runs, CONFLICT
   * if another session has set it aside.
   */
  setAside(machine: MachineId, session: string, signal: AbortSignal): Promise<void>;
  /** Its old name again. Rejects EXISTS if another machine has that by now. */
  putBack(machine: MachineId, session: string, signal: AbortSignal): Promise<void>;
  /** It keeps the name that `setAside` gave it, and is no longer this session's. */
  leaveAside(machine: MachineId, session: string, signal: AbortSignal): Promise<void>;
  /**
   * Removes the definition of a machine that is set aside for the session, and not its disks: it returns where they
   * are. Resolves if it is gone. Rejects BUSY if it runs, CONFLICT unless it has the session's mark and the name that
   * `setAside` gave it: a person may use it again.
   */
  removeAside(machine: MachineId, session: string, signal: AbortSignal): Promise<readonly string[]>;
  /** Defines the machine, off, on the shown disks. Rejects EXISTS if its name or UUID is another's. */
  register(plan: RunPlan, disks: readonly ShownDisk[], signal: AbortSignal): Promise<MachineId>;
  /** The machine that `register` made, also if its answer was lost; undefined: there is none. */
  find(session: string, signal: AbortSignal): Promise<MachineId | undefined>;
  /** Also one that stopped for a disk that did not answer. */
  start(placed: PlacedMachine, signal: AbortSignal): Promise<void>;
  /** `shutdown` asks the guest, and resolves before it is off. */
  stop(placed: PlacedMachine, how: 'shutdown' | 'off', signal: AbortSignal): Promise<void>;
  look(placed: PlacedMachine, signal: AbortSignal): Promise<Look>;
  /**
   * Begins to copy each disk to its reserved one, the machine runs on. A disk that is on its reserved one, over ours,
   * takes from ours all that it lacks, and is at its target as soon as it has that; where one of them waits for
   * another, this is called again. Rejects UNSUPPORTED if the machine is off, CONFLICT if a size differs.
   */
  move(placed: PlacedMachine, to: readonly ReservedDisk[], signal: AbortSignal): Promise<void>;
  /** By disk. */
  moving(placed: PlacedMachine, signal: AbortSignal): Promise<Readonly<Record<string, DiskMove>>>;
  /** Ends the copies under way. A disk that is already on its reserved one stays there. */
  cancelMove(placed: PlacedMachine, signal: AbortSignal): Promise<void>;
  /**
   * Lets each disk go on on its reserved one, one after the other, and ends at the first that refuses. Rejects BUSY,
   * before it changes anything, unless all are ready or there. From the first on there is only forward.
   */
  pivot(placed: PlacedMachine, signal: AbortSignal): Promise<void>;
  /**
   * Lets a machine that is off have its reserved disks instead of those of ours, all by one effect. What was written to
   * them is all that its disks have; one that is not ours (any longer) stays. Without any, only checks whether that is
   * possible. Rejects BUSY if it runs, CONFLICT if a saved state of it needs the old ones or one of them is covered.
   */
  switchDisks(
    placed: PlacedMachine,
    to: readonly ReservedDisk[],
    signal: AbortSignal,
  ): Promise<void>;
  /**
   * The definition as it stays: name, start with the host, without our mark. Rejects CONFLICT while a disk still needs
   * what Holdfast serves.
   */
  settle(placed: PlacedMachine, plan: SettledPlan, signal: AbortSignal): Promise<void>;
  /**
   * Removes the definition, and the files that `register` placed. Resolves if it is gone. Rejects BUSY while it runs,
   * CONFLICT once a disk is on the host itself: it is no longer ours.
   */
  unregister(placed: PlacedMachine, signal: AbortSignal): Promise<void>;
  /** Reasons to look again, never a source of truth: some may be missing. Ends with the signal. */
  events(signal: AbortSignal): AsyncIterable<HypervisorEvent>;
}

export interface PlacedMachine {
  readonly id: MachineId;
  readonly session: string;
}

/** What a machine becomes on a host, whatever its disks are on. */
export interface MachinePlan {
  /** The ID of the session: the mark. */
  readonly session: string;
  /** The name that the machine gets. */
  readonly name: string;
  /** Its own, or a new one, chosen once. */
  readonly uuid: string;
  /** As the recovery point has it. */
  readonly machine: MachineDescription;
  readonly files: readonly PlannedFile[];
  /**
   * By the MAC of a card, the name of the host's network, or "bridge:" and that of a bridge; a card that has none is
   * not connected.
   */
  readonly networks: Readonly<Record<string, string>>;
  readonly autostart: boolean;
}

/** What a machine has once it is the host's own. */
export interface SettledPlan extends Pick<MachinePlan, 'name'> {
  /** Undefined: as it is. */
  readonly autostart: boolean | undefined;
}

export interface RunPlan extends MachinePlan {
  readonly disks: readonly ServedDisk[];
  /** The pool to move to; undefined: the machine does not move. With writes there, there is one. */
  readonly pool: string | undefined;
  readonly writes: WritesTo;
}

/**
 * Where what a guest writes is kept. `here`: by Holdfast, with what it serves. `there`: in the plan's pool, on disks
 * over what Holdfast serves, which is only read.
 */
export type WritesTo = 'here' | 'there';

/** A file of the recovery point that the machine needs on the host. */
export interface PlannedFile {
  readonly name: string;
  readonly kind: PointFileKind;
  readonly bytes: Uint8Array;
}

/** A disk that the session serves. */
export interface ServedDisk {
  readonly name: string;
  readonly size: number;
  /**
   * As hosts reach it, by each protocol that serves it: "nbd://10.0.0.5:10809/web1-vda". Empty, in a check: it is not
   * served yet.
   */
  readonly urls: readonly string[];
}

export interface ShownDisk {
  readonly name: string;
  /** As the host's definition names it. */
  readonly source: string;
}

export interface ReservedDisk {
  readonly name: string;
  readonly size: number;
  /** As the host's definition names it. */
  readonly source: string;
}

export interface Places {
  readonly pools: readonly PoolPlace[];
  /** The hypervisor's own; it may have bridges besides. */
  readonly networks: readonly string[];
}

export interface PoolPlace {
  readonly name: string;
  /** In bytes. */
  readonly free: number;
  readonly size: number;
  /** Where its files are on the host; undefined: it has no directory. */
  readonly directory?: string | undefined;
}

/** What the host says of the machine. */
export type Look = { readonly isThere: false } | PresentMachine;

interface PresentMachine {
  readonly isThere: true;
  /** Undefined: it has no mark of ours (any longer). */
  readonly session: string | undefined;
  readonly name: string;
  readonly power: RunPower;
  /** By disk: the only thing that decides whether what a session holds may be thrown away. */
  readonly disks: Readonly<Record<string, DiskPlace>>;
  /**
   * Disks of these that are ours under a layer which is neither ours nor reserved: a snapshot that a person, or a
   * program, has made there. What the guest writes since then is in that layer, and not here.
   */
  readonly covered: readonly string[];
  /** The guest's agent answers. */
  readonly heartbeat: boolean;
}

/**
 * `paused-io`: the host stopped it because a disk did not answer. `paused-space`: because a disk of the host's own has
 * no space left. `paused`: a person did.
 */
export type RunPower =
  | 'on'
  | 'off'
  | 'paused-io'
  | 'paused-space'
  | 'paused'
  | 'suspended'
  | 'unknown';

/**
 * `ours`: any layer of it, however deep, is what Holdfast serves. `target`: it is on its reserved disk, and on nothing
 * of ours. `elsewhere`: on neither: a person moved it.
 */
export type DiskPlace = 'ours' | 'target' | 'elsewhere';

export type DiskMove =
  /** No copy is under way; `failure`: the last one ended with that. */
  | { readonly state: 'source'; readonly failure: string | undefined }
  /** No copy is under way: it begins with the next `move` after another disk's has ended. */
  | { readonly state: 'waiting' }
  /** In bytes; both grow while the guest writes. */
  | { readonly state: 'copying'; readonly done: number; readonly total: number }
  /** The copy has all, and follows each write. */
  | { readonly state: 'ready' }
  | { readonly state: 'target' };

export type HypervisorEvent =
  /** Its power, its disks or a copy have changed, or it was defined, undefined or moved. */
  | { readonly kind: 'machine'; readonly id: MachineId }
  /** The connection was lost, or is there again: events in between are missing. */
  | { readonly kind: 'away' }
  | { readonly kind: 'back' };
