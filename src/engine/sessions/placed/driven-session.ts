import type { PlacedDebt } from '../../../formats/store/sessions/debt.ts';
import type { SessionRecord } from '../../../formats/store/sessions/session.ts';
import type { ExportWay } from '../../../hypervisors/base/export-way.ts';
import type { HypervisorEvent, Look, RunPlan } from '../../../hypervisors/base/run-driver.ts';
import { HypervisorError } from '../../../hypervisors/base/hypervisor-error.ts';
import { asError } from '../../../lib/as-error.ts';
import { type PlacedSession, placedSession } from '../../../sessions/placed/placed-session.ts';
import { placementOf } from '../../../sessions/placed/placed-steps.ts';
import type { OwnWork, PlacedWorld, ShownWork } from '../../../sessions/placed/placed-world.ts';
import type { HeldSession } from '../../../sessions/state/held-session.ts';
import type { Clock } from '../../../sys/base/clock.ts';
import { firstFailure, kindOfFailure } from '../../base/failures.ts';
import { orAborted } from '../../../lib/or-aborted.ts';
import type { Connection, Connections } from './connections.ts';
import { type CopyFigures, copyFigures } from './copy-figures.ts';
import { type Downtime, expectedDowntime, type WriteRates } from './downtime.ts';
import { type HostReach, hostReach } from './host-reach.ts';
import type { OpenedPoint } from '../../base/engine.ts';

/*
 * A session with a machine on a hypervisor, which this process serves and carries on: no person has to wait for it.
 * What fails here, such as a full disk, is tried again; what fails there is for its steps to answer.
 */
export interface DrivenSession
  extends AsyncDisposable,
    Pick<PlacedSession, 'record' | 'ask' | 'power'> {
  /** An event of its hypervisor. */
  noted(event: HypervisorEvent): void;
  /** The connection to its hypervisor is opened again: its address or credentials may have changed. */
  reconnect(): Promise<void>;
  /** What its hypervisor said last; undefined: it was not asked yet. */
  look(): Look | undefined;
  copy(disk: string): CopyFigures | undefined;
  /** How long a move of its disks takes while its machine is off. */
  expected(signal: AbortSignal): Promise<Downtime>;
  /** Why its steps are not taken at the moment. */
  problem(): string | undefined;
  /** Resolves with its next change, or once it is over. Rejects with the signal's reason. */
  changed(signal: AbortSignal): Promise<void>;
  /** Resolves once its steps end: it is over, and `onOver` was called, or the process stops. */
  readonly stopped: Promise<void>;
}

/** What a placed session has in the process that serves it. */
export interface PlacedParts extends Pick<OwnWork, 'disk' | 'setFence'> {
  readonly held: HeldSession;
  readonly opened: OpenedPoint;
  plan(record: SessionRecord, exports: ExportWay): Promise<RunPlan>;
  endExports(): Promise<void>;
}

export interface DriveOptions {
  readonly clock: Clock;
  readonly connections: Connections;
  /** How fast disks were written to hypervisors. */
  readonly rates: WriteRates;
  owe(debt: PlacedDebt): Promise<void>;
  /** Another session's journal; undefined: it is over. */
  other(session: string): Promise<SessionRecord | undefined>;
  /** Each step and each obstacle. */
  onLog(message: string): void;
  /** Nothing of it is on the hypervisor, and it goes on as an ordinary session. It is disposed of by others. */
  onOver(): void;
}

const AGAIN_MS = 15_000;

export function driveSession(parts: PlacedParts, options: DriveOptions): DrivenSession {
  const { held } = parts;
  const { clock, connections, onLog, rates } = options;
  const closing = new AbortController();
  const { signal } = closing;
  const copies = copyFigures(clock);
  let looked: Look | undefined;
  let problem: string | undefined;
  let change = Promise.withResolvers<void>();
  function tell(): void {
    change.resolve();
    change = Promise.withResolvers();
  }
  const reach = hostReach(onLog);
  async function endExports(): Promise<void> {
    await reach.close();
    await parts.endExports();
  }
  const world = worldOf(parts, options, {
    ...{ reach, tell, copies, endExports },
    look: (it) => void (looked = it),
  });
  const session = placedSession(world);

  async function drive(): Promise<void> {
    while (!signal.aborted) {
      try {
        await session.run(signal);
        options.onOver();
        return tell();
      } catch (cause) {
        if (signal.aborted) return;
        const failure = firstFailure(cause);
        if (kindOfFailure(failure) === undefined) throw cause;
        const { message } = asError(failure);
        if (problem !== message) onLog(`cannot continue: ${message}`);
        problem = message;
        tell();
      }
      await clock.sleep(AGAIN_MS, signal).catch(() => {});
      problem = undefined;
    }
  }
  const driving = drive();
  return {
    get record() {
      return session.record;
    },
    ask: (asked) => session.ask(asked),
    power: (how) => session.power(how),
    noted(event) {
      const { machine } = placementOf(held.record);
      if (event.kind === 'machine' && machine !== undefined && machine !== event.id) return;
      if (event.kind !== 'away') session.wake();
    },
    async reconnect() {
      await reach.close();
      await connections.release(placementOf(held.record).hypervisor);
    },
    look: () => looked,
    copy: (disk) => copies.of(disk),
    expected: (until) => {
      const { record } = held;
      const disks = record.disks.map(({ name }) => parts.disk(name));
      return expectedDowntime(disks, rates.of(placementOf(record).hypervisor), until);
    },
    problem: () => problem,
    stopped: driving,
    changed: (until) => orAborted(change.promise, until),
    async [Symbol.asyncDispose]() {
      closing.abort();
      await driving;
      await reach.close();
    },
  };
}

interface WorldParts extends Pick<OwnWork, 'endExports'>, Pick<ShownWork, 'look'> {
  readonly reach: HostReach;
  readonly copies: ReturnType<typeof copyFigures>;
  /** The journal has changed. */
  tell(): void;
}

function worldOf(
  parts: PlacedParts,
  options: DriveOptions,
  { reach, copies, tell, endExports, look }: WorldParts,
): PlacedWorld {
  const { held } = parts;
  const { clock, connections, onLog, rates } = options;
  let last: Connection | undefined;
  return {
    clock,
    journal: {
      get record() {
        return held.record;
      },
      async change(step) {
        await held.change(step);
        tell();
      },
    },
    async driver(until) {
      last = await connections.open(placementOf(held.record).hypervisor, until);
      await reach.require(last.run.exports, held.record, until);
      return last.run;
    },
    async openReserved(disk, until) {
      const { hypervisor } = placementOf(held.record);
      const { host } = await connections.open(hypervisor, until);
      if (host.restore) return host.restore.open(disk, until);
      const what = `Holdfast cannot write disks on hypervisor ${hypervisor} (${host.facts.product})`;
      throw new HypervisorError('UNSUPPORTED', `${what}: start the machine, and migrate it then`);
    },
    async lost() {
      if (last) await connections.lost(last);
    },
    async plan(record, until) {
      const { run } = await connections.open(placementOf(record).hypervisor, until);
      return parts.plan(record, run.exports);
    },
    other: (id) => options.other(id),
    own: {
      endExports,
      owe: (debt) => options.owe(debt),
      disk: (name) => parts.disk(name),
      setFence: (isUp) => parts.setFence(isUp),
    },
    shown: {
      log: onLog,
      look,
      wrote: (bytes, ms) => rates.wrote(placementOf(held.record).hypervisor, bytes, ms),
      moves: (moves) => copies.seen(moves),
    },
  };
}
