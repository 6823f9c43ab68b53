import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import type { Look, ReservedDisk } from '../../../src/hypervisors/base/run-driver.ts';
import type { Link } from './describe.ts';
import { switchTo } from './host-run.ts';

export async function switchDisks(
  link: Link,
  id: string,
  {
    seen: { name, power, disks, covered },
    to,
    signal,
  }: {
    readonly seen: Extract<Look, { isThere: true }>;
    readonly to: readonly ReservedDisk[];
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const moving = to.filter((it) => disks[it.name] === 'ours');
  if (to.length > 0 && moving.length === 0) return;
  if (power !== 'off') throw new HypervisorError('BUSY', `machine ${name} runs: shut it down`);
  if (covered.length > 0) {
    throw new HypervisorError('CONFLICT', `machine ${name} has a snapshot over ${covered.join()}`);
  }
  if (moving.length === 0) return;
  for (const it of moving) {
    const size = () => link.host.volumes.get(it.source)?.size;
    const found = await link.wire.call('look for volume', size, signal);
    if (found === it.size) continue;
    throw new HypervisorError('CONFLICT', `volume ${it.source} has ${found} bytes, not ${it.size}`);
  }
  await link.wire.call('switch', () => switchTo(link.host, id, moving), signal);
}
