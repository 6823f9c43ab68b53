import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import type { MachineSummary } from '../../hypervisors/base/machines.ts';
import type { RestoredDisk, RestorePlan } from '../../hypervisors/base/restore-driver.ts';
import type { RequestOf } from '../../operations/operations.ts';
import { decideIdentity, notDecided } from '../run-plan/identity.ts';
import { decidePool } from '../run-plan/pools.ts';
import { chosenNetworks, decideNetworks, unknownFinding } from '../run-plan/networks.ts';
import { type PointParts, pointFindings } from '../run-plan/point-parts.ts';
import type { RunFacts } from '../run-plan/run-facts.ts';
import type { RestoreHost } from './restore-host.ts';

/* What a restored machine will be, and all that stands in its way: decided as for a run, before anything is changed. */

export interface PlannedRestore {
  /** Undefined: nothing can be planned, as a finding says. */
  readonly plan: RestorePlan | undefined;
  /** The machine whose place it takes. */
  readonly replaces: MachineSummary | undefined;
  readonly findings: readonly Finding[];
}

interface Asked {
  readonly request: RequestOf<'restore/machine'>;
  readonly point: PointRecord;
  readonly parts: PointParts;
  readonly disks: readonly RestoredDisk[];
  /** The mark, and a UUID that no machine has. */
  readonly id: string;
  readonly uuid: string;
}

/** Has no effects. Rejects HypervisorError if the hypervisor cannot be asked. */
export async function planRestore(
  to: RestoreHost,
  { request, point, parts, disks, id, uuid }: Asked,
  signal: AbortSignal,
): Promise<PlannedRestore> {
  const { machine, files } = parts;
  const ours = pointFindings(point, parts);
  if (!machine) return { plan: undefined, replaces: undefined, findings: ours };
  const machines = await to.host.machines(signal);
  const facts: RunFacts = {
    ...{ machine, machines, hypervisor: to.name, newUuid: uuid },
    ...{ disks: disks.map(({ name }) => name), places: await to.run.places(signal), taken: [] },
  };
  const identity = decideIdentity(facts, { name: request.name, replace: request.replace });
  const {
    networks,
    unknown,
    findings: connected,
  } = decideNetworks(facts, {
    networks: chosenNetworks(request.networks),
    isIsolated: request.isolated,
  });
  const { pool, findings: placed } = decidePool(facts, request.pool);
  const { name, replaces } = identity;
  const plan = {
    ...{ session: id, name, uuid: identity.uuid, machine, files, networks, disks },
    autostart: machine.autostart,
  };
  const theirs = notDecided(await to.restore.check(plan, signal), identity);
  const space = pool === undefined ? [] : await to.restore.checkDisks({ ...plan, pool }, signal);
  return {
    plan: pool === undefined ? undefined : { ...plan, pool },
    replaces: machines.find((it) => it.id === replaces?.machine),
    findings: [
      ...[...ours, ...identity.findings, ...connected],
      ...unknown.map((old) => unknownFinding(old, machine.nics)),
      ...[...placed, ...theirs, ...space],
    ],
  };
}
