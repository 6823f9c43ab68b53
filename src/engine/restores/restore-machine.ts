import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { RestorePlan } from '../../hypervisors/base/restore-driver.ts';
import type { ReservedDisk } from '../../hypervisors/base/run-driver.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { type Engine, openPoint, type WorkOptions } from '../base/engine.ts';
import { connect } from '../hypervisors/connect.ts';
import type { Hypervisors } from '../hypervisors/hypervisors.ts';
import { shownFinding } from '../hypervisors/readiness.ts';
import { readParts } from '../run-plan/point-parts.ts';
import { blockersIn } from '../run-plan/refusal.ts';
import { openRestoredDisks, type RestoredDisks } from './restored-disks.ts';
import { type RestoreHost, restoreHost } from './restore-host.ts';
import { planRestore, type PlannedRestore } from './restore-plan.ts';
import { beginRestore, newIdentity, type Note, requirePossible } from './restore-run.ts';

export interface RestoreOptions extends WorkOptions {
  readonly hypervisors: Hypervisors;
}

type Request = RequestOf<'restore/machine'>;
type Result = ResultOf<'restore/machine'>;

/**
 * A machine of a recovery point becomes one of a hypervisor. Disks are written and verified first, then the machine is
 * there at once, whole.
 */
export async function restoreMachine(
  engine: Engine,
  request: Request,
  { hypervisors, secrets, signal, report }: RestoreOptions,
): Promise<Result> {
  const { store } = engine;
  const { set, point } = await openPoint(engine, request.point, secrets);
  const tell = (message: string): void => report({ event: 'notice', message });
  await using host = await connect(hypervisors, request.to, { owner: store.id, signal });
  const to = restoreHost(request.to, host);
  const names = point.disks.map(({ name }) => name);
  await using disks = await openRestoredDisks(engine, { set, point }, names);
  await using stack = new AsyncDisposableStack();
  const asked = JSON.stringify({ ...request, point: point.id });
  const begun = request.dryRun
    ? undefined
    : stack.use(await beginRestore(hypervisors, { to, asked, tell, signal }));
  const parts = await readParts(store, { set, point });
  if (begun?.made) {
    const autostart = parts.machine?.autostart ?? false;
    const { machine } = begun.made;
    const done = await complete(to, machine, { request, point: point.id, autostart, signal });
    await begun.forget();
    return done;
  }
  const identity = newIdentity(store);
  const measured = await disks.measure(signal);
  const facts = { request, point, parts, disks: measured, ...identity };
  const planned = await planRestore(to, facts, signal);
  const what = `${point.id} as "${planned.plan?.name ?? request.name ?? 'a machine'}" to ${to.name}`;
  const about = {
    point: point.id,
    hypervisor: to.name,
    findings: planned.findings.map(shownFinding),
  };
  if (!begun) {
    const isPossible = blockersIn(planned.findings).length === 0;
    return { ...about, ...nothingDone(planned), ready: isPossible };
  }
  requirePossible(what, planned.findings, tell);
  const { replaces } = planned;
  const plan = planned.plan!;
  const made = await begun.run({ id: plan.session, uuid: plan.uuid }, (note) =>
    carryOut(to, { request, plan, replaces, disks, note, work: { signal, report } }),
  );
  return {
    ...about,
    ...{ machine: plan.name, id: plan.uuid, pool: plan.pool, ready: true, restored: true },
    ...{ started: request.powerOn, replaced: made.replaced, disks: made.disks },
  };
}

interface CarryingOut extends Pick<PlannedRestore, 'replaces'> {
  readonly request: Pick<Request, 'powerOn'>;
  readonly plan: RestorePlan;
  readonly disks: RestoredDisks;
  readonly note: Note;
  readonly work: Pick<WorkOptions, 'signal' | 'report'>;
}

async function carryOut(
  to: RestoreHost,
  { request, plan, replaces, disks, note, work }: CarryingOut,
): Promise<Pick<Result, 'disks' | 'replaced'>> {
  const { restore, run, host } = to;
  const { signal } = work;
  const reserved = await restore.reserve(plan, signal);
  const written = await disks.write(to, reserved, work);
  if (replaces) {
    await note({ aside: replaces.id });
    await run.setAside(replaces.id, plan.session, signal);
  }
  await note({ machine: plan.uuid, disks: reserved.map(({ source }) => source) });
  const id = await restore.define(plan, reserved, signal);
  await note({ isWhole: true });
  if (replaces) await run.leaveAside(replaces.id, plan.session, signal);
  if (plan.autostart) await restore.setAutostart(id, true, signal);
  if (request.powerOn) await powerOn(to, plan, signal);
  const old = replaces && (await host.machines(signal)).find((it) => it.id === replaces.id);
  return { disks: reserved.map((it) => shownDisk(it, written)), replaced: old?.name ?? null };
}

function shownDisk({ name, size, source }: ReservedDisk, written: ReadonlyMap<string, number>) {
  return { disk: name, size, source, writtenBytes: written.get(name) ?? 0 };
}

function nothingDone({ plan }: PlannedRestore) {
  return {
    ...{ machine: plan?.name ?? null, id: plan?.uuid ?? null, pool: plan?.pool ?? null },
    ...{ restored: false, started: false, replaced: null, disks: [] },
  };
}

interface Completing {
  readonly request: Request;
  readonly point: string;
  readonly autostart: boolean;
  readonly signal: AbortSignal;
}

/** An earlier attempt, whose process died, had come to its end but for this. */
async function complete(
  to: RestoreHost,
  id: string,
  { request: { powerOn: isToRun }, point, autostart, signal }: Completing,
): Promise<Result> {
  const { name } = (await to.host.describe(id, signal)).machine.from;
  if (autostart) await to.restore.setAutostart(id, true, signal);
  if (isToRun) await powerOn(to, { name, uuid: id }, signal);
  return {
    ...{ point, hypervisor: to.name, findings: [], machine: name, id, pool: null },
    ...{ ready: true, restored: true, started: isToRun, replaced: null, disks: [] },
  };
}

async function powerOn(
  { restore }: RestoreHost,
  { name, uuid }: Pick<RestorePlan, 'name' | 'uuid'>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await restore.powerOn(uuid, signal);
  } catch (cause) {
    if (!(cause instanceof HypervisorError) || cause.code === 'UNREACHABLE') throw cause;
    const message = `the machine "${name}" is completely restored, but cannot be started: ${cause.message}`;
    throw new HypervisorError('CONFLICT', message, { cause, native: cause.native });
  }
}
