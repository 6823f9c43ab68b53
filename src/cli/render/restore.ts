import { formatSize } from '../../lib/sizes.ts';
import type { ResultOf } from '../../operations/operations.ts';
import { blocked, findingsTable } from './hypervisor.ts';
import type { Renders } from './render.ts';

export const render = {
  'restore/machine': {
    text: (result) => (result.restored ? machineText(result) : planText(result)),
    failure,
  },
  'restore/machine-disk': {
    text: (result) => (result.restored ? diskText(result) : planText(result)),
    failure,
  },
} satisfies Renders;

type Machine = ResultOf<'restore/machine'>;
type Disk = ResultOf<'restore/machine-disk'>;

function machineText(result: Machine): string {
  const { point, hypervisor, machine, id, started, replaced, disks } = result;
  const is = started ? 'is restored and runs' : 'is restored, and is off';
  return [
    `Machine "${machine}" (${id}) of ${point} ${is}, on ${hypervisor}`,
    ...disks.map(({ disk, source, writtenBytes }) => {
      const written = formatSize(writtenBytes);
      return `Disk ${disk} is ${source} (${written} written and verified)`;
    }),
    ...(replaced === null ? [] : [`The old machine is now named "${replaced}"`]),
  ].join('\n');
}

function diskText({
  point,
  disk,
  hypervisor,
  source,
  machine,
  target,
  writtenBytes,
}: Disk): string {
  const written = `${formatSize(writtenBytes)} written and verified`;
  const place = source === null ? `on ${hypervisor}` : `${source} on ${hypervisor} (${written})`;
  const attached = machine === null ? '' : `\nIt is disk ${target} of the machine "${machine}"`;
  return `Disk ${disk} of ${point} is ${place}${attached}`;
}

function planText(result: Machine | Disk): string {
  const { point, hypervisor, machine, pool, findings } = result;
  const as = machine === null ? '' : ` as "${machine}"`;
  const into = pool === null ? '' : `, its disks in the pool "${pool}"`;
  const rows = findings.length === 0 ? 'Nothing stands in the way' : findingsTable(findings);
  return `${point} to ${hypervisor}${as}${into}\n\n${rows}`;
}

function failure({ findings, hypervisor }: Machine | Disk): Error | undefined {
  return blocked(findings, `it cannot be restored to "${hypervisor}"`);
}
