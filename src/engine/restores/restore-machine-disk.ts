import type { DescribedDisk } from '../../formats/store/catalog/machine.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { MachineSummary } from '../../hypervisors/base/machines.ts';
import type { DisksPlan, RestoredDisk } from '../../hypervisors/base/restore-driver.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { type Engine, openPoint } from '../base/engine.ts';
import { connect } from '../hypervisors/connect.ts';
import { machineNamed, shownFinding } from '../hypervisors/readiness.ts';
import { requirePointDisk } from '../points/backups.ts';
import { readParts } from '../run-plan/point-parts.ts';
import { blockersIn } from '../run-plan/refusal.ts';
import { decidePool } from '../run-plan/pools.ts';
import { openRestoredDisks, type RestoredDisks } from './restored-disks.ts';
import { type RestoreHost, restoreHost } from './restore-host.ts';
import type { RestoreOptions } from './restore-machine.ts';
import { beginRestore, newIdentity, requirePossible } from './restore-run.ts';

type Request = RequestOf<'restore/machine-disk'>;
type Result = ResultOf<'restore/machine-disk'>;

/** A disk of a recovery point becomes a disk in a pool of a hypervisor, and one of a machine there if that is asked. */
export async function restoreMachineDisk(
  engine: Engine,
  request: Request,
  { hypervisors, secrets, signal, report }: RestoreOptions,
): Promise<Result> {
  const { store } = engine;
  const { set, point } = await openPoint(engine, request.point, secrets);
  requirePointDisk(point, request.disk);
  const tell = (message: string): void => report({ event: 'notice', message });
  await using host = await connect(hypervisors, request.to, { owner: store.id, signal });
  const to = restoreHost(request.to, host);
  await using disks = await openRestoredDisks(engine, { set, point }, [request.disk]);
  await using stack = new AsyncDisposableStack();
  const asked = JSON.stringify({ ...request, point: point.id });
  const begun = request.dryRun
    ? undefined
    : stack.use(await beginRestore(hypervisors, { to, asked, tell, signal }));
  const about = { point: point.id, disk: request.disk, hypervisor: to.name };
  const nothing = { pool: null, source: null, machine: null, target: null, size: null };
  if (begun?.made) {
    const { machine, disk: target } = begun.made;
    const done = { ready: true, restored: true, writtenBytes: 0, findings: [] };
    const name = await nameOf(to, machine, signal);
    await begun.forget();
    return { ...about, ...nothing, ...done, machine: name, target: target ?? null };
  }
  const { machine: described } = await readParts(store, { set, point });
  const known = described?.disks.find(({ name }) => name === request.disk);
  const planned = await planDisk(to, request, { disks, known, signal });
  const { plan, machine, findings } = planned;
  const shown = { ...about, findings: findings.map(shownFinding) };
  if (!begun) {
    const ready = blockersIn(findings).length === 0;
    const place = { ...nothing, pool: plan?.pool ?? null, machine: machine?.name ?? null };
    return { ...shown, ...place, ready, restored: false, writtenBytes: 0 };
  }
  requirePossible(`${point.id}/${request.disk} to ${to.name}`, findings, tell);
  const identity = newIdentity(store);
  return await begun.run(identity, async (note) => {
    const [reserved] = await to.restore.reserve({ ...plan!, session: identity.id }, signal);
    const { name, size, source } = reserved!;
    const written = await disks.write(to, [reserved!], { signal, report });
    const done = { ready: true, restored: true, writtenBytes: written.get(name) ?? 0 };
    const made = { ...shown, ...done, ...{ pool: plan!.pool, source, size } };
    if (!machine) return { ...made, machine: null, target: null };
    await note({ machine: machine.id, disks: [source] });
    const disk = { name, size, source, sectorBytes: known?.sectorBytes ?? 512 };
    const target = await to.restore.attach(machine.id, disk, signal);
    await note({ isWhole: true });
    return { ...made, machine: machine.name, target };
  });
}

interface PlannedDisk {
  /** Undefined: nothing can be planned, as a finding says. */
  readonly plan: Omit<DisksPlan, 'session'> | undefined;
  readonly machine: MachineSummary | undefined;
  readonly findings: readonly Finding[];
}

interface Planning {
  readonly disks: RestoredDisks;
  /** As the recovery point describes it. */
  readonly known: DescribedDisk | undefined;
  readonly signal: AbortSignal;
}

/** The disk goes where it was; one for another machine, where the disks of that are. */
async function planDisk(
  to: RestoreHost,
  { pool: wished, attachTo }: Request,
  { disks, known, signal }: Planning,
): Promise<PlannedDisk> {
  const { host, run, restore } = to;
  const machine =
    attachTo === undefined ? undefined : machineNamed(host, await host.machines(signal), attachTo);
  const there = machine && (await host.describe(machine.id, signal)).machine;
  const places = await run.places(signal);
  const facts = {
    ...{ hypervisor: to.name, places },
    machine: there ?? { disks: known ? [known] : [] },
  };
  const { pool, findings } = decidePool(facts, wished);
  const measured: readonly RestoredDisk[] = await disks.measure(signal);
  const plan = pool === undefined ? undefined : { pool, disks: measured };
  return {
    ...{ plan, machine },
    findings: [
      ...findings,
      ...(plan ? await restore.checkDisks({ ...plan, session: NO_RESTORE }, signal) : []),
      ...(machine ? await restore.checkAttach(machine.id, signal) : []),
    ],
  };
}

/** No disk has that mark. */
const NO_RESTORE = 'not-begun';

async function nameOf({ host }: RestoreHost, id: string, signal: AbortSignal): Promise<string> {
  const found = (await host.machines(signal)).find((it) => it.id === id);
  if (found) return found.name;
  throw new HypervisorError('NOT_FOUND', `there is no machine ${id}`);
}
