import type { PlacedDebt } from '../../formats/store/sessions/debt.ts';
import type { PlacementWait } from '../../formats/store/sessions/placement.ts';
import type { SessionRecord } from '../../formats/store/sessions/session.ts';
import type { RunDriver, RunPlan } from '../../hypervisors/base/run-driver.ts';
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
  /** What the journal plans, with what the recovery point and the exports say. */
  plan(record: SessionRecord, signal: AbortSignal): Promise<RunPlan>;
  readonly own: OwnWork;
  /** Each step and each obstacle, for the session's log. */
  log(message: string): void;
}

/** What is done here and not on the hypervisor; each may be repeated. */
export interface OwnWork {
  /** Lease and overlays. */
  prepare(record: SessionRecord): Promise<void>;
  /** Ends what serves the session's disks. */
  endExports(): Promise<void>;
  /** Makes the recovery point `keepAs`. Returns why not, if none of it exists. */
  publish(record: SessionRecord): Promise<string | undefined>;
  /** Removes what the session wrote, and the session. */
  clean(record: SessionRecord): Promise<void>;
  /** Records durably what is left on a hypervisor. */
  owe(debt: PlacedDebt): Promise<void>;
}

/** What the step of a phase came to. */
export type StepResult =
  | { readonly kind: 'done' }
  | { readonly kind: 'undone'; readonly why: string }
  /** The state has changed: the next step begins with another look. */
  | { readonly kind: 'again' }
  | { readonly kind: 'later'; readonly ms: number }
  | ({ readonly kind: 'wait'; readonly ms: number } & Pick<PlacementWait, 'reason' | 'message'>);

/** `over`: there is nothing left to do. */
export type Pause = { readonly kind: 'later'; readonly ms: number } | { readonly kind: 'over' };
