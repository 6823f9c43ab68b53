import { BlockError } from '../../../src/block/block-error.ts';
import type { WritableBlockDevice } from '../../../src/block/block-device.ts';
import { writeLayer } from '../../../src/block/layer.ts';
import type { Finding } from '../../../src/hypervisors/base/finding.ts';
import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import type { RestoreDriver, RestorePlan } from '../../../src/hypervisors/base/restore-driver.ts';
import type { ReservedDisk } from '../../../src/hypervisors/base/run-driver.ts';
import type { Link } from './describe.ts';
import { machineOf } from './host.ts';
import { attachVolume, defineStored, isUsed, setPower } from './host-run.ts';
import { release, reserve } from './reserved.ts';
import { placeFindings, spaceFindings } from './run-check.ts';

export function restoreDriver(open: () => Link): RestoreDriver {
  return {
    async check(plan, signal) {
      const { host, wire } = open();
      return wire.call('examine', () => placeFindings(host, plan), signal);
    },
    async checkDisks(plan, signal) {
      const { host, wire } = open();
      return wire.call('examine', () => spaceFindings(host, plan), signal);
    },
    reserve: async (disks, signal) => reserve(open(), disks, signal),
    open: async (disk, signal) => volumeDevice(open(), disk, signal),
    define: async (plan, disks, signal) => define(open(), plan, { disks, signal }),
    async setAutostart(id, autostart, signal) {
      const { host, wire } = open();
      const set = () => void Object.assign(machineOf(host, id), { autostart });
      await wire.call('set autostart', set, signal);
    },
    async powerOn(id, signal) {
      const { host, wire } = open();
      const { power } = await wire.call('look', () => ({ ...machineOf(host, id) }), signal);
      if (power !== 'on') await wire.call('set power', () => setPower(host, id, true), signal);
    },
    async checkAttach(id, signal) {
      const { host, wire } = open();
      return wire.call('look', () => attachFindings(machineOf(host, id).session), signal);
    },
    async attach(id, { source }, signal) {
      const { host, wire } = open();
      return wire.call('attach', () => attachVolume(host, id, source), signal);
    },
    async withdraw({ session, uuid }, signal) {
      const link = open();
      const { host, wire } = link;
      await release(link, session, signal);
      if (uuid === undefined) return;
      const isThere = await wire.call('look', () => host.machines.has(uuid), signal);
      if (isThere) return;
      for (const [path, file] of [...host.placedFiles]) {
        if (file.session !== session) continue;
        await wire.call('remove file', () => void host.placedFiles.delete(path), signal);
      }
    },
  };
}

function attachFindings(session: string | undefined): readonly Finding[] {
  if (session === undefined) return [];
  const message = `the machine is of session ${session}`;
  return [{ level: 'blocker', code: 'busy', message, remedy: 'name another machine' }];
}

async function define(
  { host, wire }: Link,
  plan: RestorePlan,
  { disks, signal }: { readonly disks: readonly ReservedDisk[]; readonly signal: AbortSignal },
): Promise<string> {
  const { session, uuid } = plan;
  for (const { name, bytes } of plan.files) {
    const file = { session, bytes: Uint8Array.from(bytes) };
    const path = `/fake/${session}/${name}`;
    await wire.call('place file', () => void host.placedFiles.set(path, file), signal);
  }
  await wire.call('define', () => defineStored(host, plan, disks), signal);
  return uuid;
}

async function volumeDevice(
  { host, wire }: Link,
  { source, size }: ReservedDisk,
  signal: AbortSignal,
): Promise<WritableBlockDevice> {
  const { bytes } = await wire.call('open volume', () => host.volumes.get(source)!, signal);
  let isWhole = false;
  async function call(name: string, effect: () => void): Promise<void> {
    try {
      await wire.call(name, effect, signal);
    } catch (cause) {
      if (!(cause instanceof HypervisorError)) throw cause;
      const code = cause.code === 'NO_SPACE' ? 'NO_SPACE' : 'IO';
      throw new BlockError(code, cause.message, { cause });
    }
  }
  return writeLayer(
    source,
    { size, blockSize: 4096 },
    {
      read: (into, offset) => call('read', () => bytes.read(into, offset)),
      async write(from, offset) {
        if (isWhole) throw new BlockError('READ_ONLY', `${source} is whole`);
        if (isUsed(host, source)) throw new BlockError('IO', `${source} is a machine's`);
        await call('write', () => bytes.write(from, offset));
      },
      async flush() {
        await call('flush', () => {});
        isWhole = true;
      },
    },
  );
}
