import type { Finding } from '../../../src/hypervisors/base/finding.ts';
import type { MachinePlan, RunPlan } from '../../../src/hypervisors/base/run-driver.ts';
import type { Link } from './describe.ts';
import type { FakeHost } from './host.ts';
import { usedOf } from './host-run.ts';

export async function checkRun(
  { host, wire }: Link,
  plan: RunPlan,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  return wire.call(
    'examine',
    () => [...placeFindings(host, plan), ...diskFindings(host, plan)],
    signal,
  );
}

export function placeFindings(host: FakeHost, plan: MachinePlan): readonly Finding[] {
  const findings: Finding[] = [];
  const machines = [...host.machines.values()].filter((it) => it.session !== plan.session);
  if (machines.some(({ name }) => name === plan.name)) {
    findings.push({
      ...{ level: 'blocker', code: 'name', message: `a machine "${plan.name}" exists` },
      remedy: 'choose another name, or replace that machine (--replace keep)',
    });
  }
  const source = machines.find(({ id }) => id === plan.machine.from.id);
  if (source?.power === 'on') {
    findings.push({
      ...{
        level: 'warning',
        code: 'source-machine',
        message: `machine "${source.name}" still runs`,
      },
      remedy: 'shut it down: both machines have its addresses',
    });
  }
  for (const [mac, network] of Object.entries(plan.networks)) {
    if (host.networks.has(network)) continue;
    findings.push({
      ...{ level: 'blocker', code: 'network', message: `there is no network "${network}"` },
      remedy: `choose one for card ${mac}, or none`,
    });
  }
  return findings;
}

function diskFindings(host: FakeHost, plan: RunPlan): readonly Finding[] {
  const findings: Finding[] = [];
  for (const { name: disk, urls } of plan.disks) {
    if (urls.length === 0 || urls.some((url) => host.served.get(url)?.isUp === true)) continue;
    findings.push({
      ...{ level: 'blocker', code: 'data-path', disk, message: `it does not answer at ${urls[0]}` },
      remedy: 'see that no firewall is between the host and this one',
    });
  }
  const { pool } = plan;
  return pool === undefined ? findings : [...findings, ...spaceFindings(host, { ...plan, pool })];
}

interface Placing {
  readonly session: string;
  readonly pool: string;
  readonly disks: readonly { readonly size: number }[];
}

export function spaceFindings(host: FakeHost, { session, pool, disks }: Placing): Finding[] {
  const needed = disks.reduce((sum, { size }) => sum + size, 0);
  const reserved = [...host.volumes.values()].some((it) => it.session === session);
  if (reserved || needed <= (host.pools.get(pool) ?? 0) - usedOf(host, pool)) return [];
  return [
    {
      ...{ level: 'blocker', code: 'target-space' },
      message: `pool "${pool}" has no ${needed} bytes`,
      remedy: 'choose another pool, or make space in it',
    },
  ];
}
