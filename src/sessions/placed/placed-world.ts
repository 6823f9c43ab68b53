import type { PlacedDebt } from '../../formats/store/sessions/debt.ts';
import type { PlacementWait } from '../../formats/store/sessions/placement.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { BlockDevice, WritableBlockDevice } from '../../block/block-device.ts';
import type {
  DiskMove,
  Look,
  ReservedDisk,
  RunDriver,
  RunPlan,
} from '../../hypervisors/base/run-driver.ts';
import type { Clock } from '../../sys/base/clock.ts';

/** All that a placed session needs, and who does it. */
export interface PlacedWorld {
  readonly clock: Clock;
  /** The session's journal: durable before `change` resolves. */
  readonly journal: {
    readonly record: SessionRecord;
    change(step: (record: SessionRecord) => SessionRecord): Promise<void>;
  };
  /** A connection that works as far as is known. Rejects HypervisorError. */
  driver(signal: AbortSignal): Promise<RunDriver>;
  /**
   * A disk that was reserved there and never written, to be written by us: as RestoreDriver.open. Rejects
   * HypervisorError.
   */
  openReserved(disk: ReservedDisk, signal: AbortSignal): Promise<WritableBlockDevice>;
  /** The connection does not work any longer: the next one is another. */
  lost(): Promise<void>;
  /** What the journal plans, with what the recovery point and the exports say. */
  plan(record: SessionRecord, signal: AbortSignal): Promise<RunPlan>;
  /** Another session's journal; undefined: it is over. */
  other(session: string): Promise<SessionRecord | undefined>;
  readonly own: OwnWork;
  readonly shown: ShownWork;
}

/** What is done here and not on the hypervisor; each may be repeated. */
export interface OwnWork {
  /** Ends what serves the session's disks. */
  endExports(): Promise<void>;
  /** A disk of the session as its machine left it: lent. */
  disk(name: string): BlockDevice;
  /**
   * From then on its machine can write nothing; resolves once all that it wrote before is in `disk`. A process that
   * finds the phase `pivoting` of a move while the machine is off begins so.
   */
  setFence(isUp: boolean): Promise<void>;
  /** Records durably what is left on a hypervisor. */
  owe(debt: PlacedDebt): Promise<void>;
}

/** What people see of it; none of it is needed to go on. */
export interface ShownWork {
  /** Each step and each obstacle, for the session's log. */
  log(message: string): void;
  /** What the hypervisor has just said. */
  look(look: Look): void;
  /** So much was written there and read back, in that time. */
  wrote(bytes: number, ms: number): void;
  /** How far its copies are; empty: none is under way. */
  moves(moves: Readonly<Record<string, DiskMove>>): void;
}

/** What the step of a phase came to. */
export type StepResult =
  | { readonly kind: 'done' }
  | { readonly kind: 'undone'; readonly why: string }
  /** The state has changed: the next step begins with another look. */
  | { readonly kind: 'again' }
  /** The time has come at which the machine was to move. */
  | { readonly kind: 'move' }
  | { readonly kind: 'later'; readonly ms: number }
  | ({ readonly kind: 'wait'; readonly ms: number } & Pick<PlacementWait, 'reason' | 'message'>);

/** `over`: nothing of it is on the hypervisor, and it goes on as an ordinary session (session-state.ts). */
export type Pause = { readonly kind: 'later'; readonly ms: number } | { readonly kind: 'over' };
