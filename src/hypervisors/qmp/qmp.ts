import type { Clock } from '../../sys/base/clock.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import { thisHost } from '../../sys/net/this-host.ts';
import type { BackupDriver } from '../base/backup-driver.ts';
import type { Hypervisor, HypervisorOptions } from '../base/hypervisor.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import type { HypervisorTarget } from '../base/target.ts';
import { beginBackup } from './begin-backup.ts';
import { checkHost, checkMachine } from './check.ts';
import { describeMachine } from './describe.ts';
import { qmpGuests } from './guest-files.ts';
import { listMachines, openMachine, requireDirectory } from './machines.ts';
import { qmpDirectory } from './place.ts';
import type { QmpHost } from './qmp-host.ts';
import { tidyMachine } from './tidy.ts';

export interface QmpOptions extends HypervisorOptions {
  readonly target: HypervisorTarget;
  readonly clock: Clock;
  readonly files: Pick<FileSystem, 'list' | 'readFile' | 'unlink'>;
  /** A directory in which QEMU makes sockets for backups; undefined: that of the monitors. */
  readonly sockets: string | undefined;
  /** A directory for what guests overwrite during a backup; undefined: beside each image. */
  readonly scratch: string | undefined;
}

/** Enough to tell stores apart: names of nodes and paths of sockets are short. */
const OWNER_LENGTH = 8;

/** QEMU that an administrator runs without libvirt, on this host. Rejects HypervisorError. */
export async function openQmp(options: QmpOptions, signal: AbortSignal): Promise<Hypervisor> {
  const { target, name, clock, files, scratch } = options;
  const directory = qmpDirectory(target);
  const host: QmpHost = {
    ...{ name, directory, scratch, clock, files, seen: new Map() },
    owner: options.owner.slice(0, OWNER_LENGTH),
    sockets: options.sockets ?? directory,
  };
  signal.throwIfAborted();
  await requireDirectory(host);
  let isClosed = false;
  const open = async (): Promise<void> => {
    if (isClosed) throw new HypervisorError('FAILED', 'the connection is closed');
  };
  return {
    kind: 'qemu',
    facts: { product: `plain QEMU in ${directory}`, host: thisHost().name },
    async machines(until) {
      await open();
      return listMachines(host, until);
    },
    async describe(id, until) {
      await open();
      await using machine = await openMachine(host, id, until);
      const asked = { wish: undefined, signal: until, onNotice: () => {} };
      return (await describeMachine(host, machine, asked)).described;
    },
    async check(until) {
      await open();
      return checkHost(host, until);
    },
    backup: backupDriver(host, open),
    run: undefined,
    restore: undefined,
    guests: qmpGuests(host, open),
    async [Symbol.asyncDispose]() {
      isClosed = true;
    },
  };
}

function backupDriver(host: QmpHost, open: () => Promise<void>): BackupDriver {
  return {
    async check(id, wish, signal) {
      await open();
      await using machine = await openMachine(host, id, signal);
      return await checkMachine(host, machine, { wish, signal });
    },
    async begin(id, wish, since, options) {
      await open();
      return beginBackup(host, id, { wish, since, options });
    },
    async tidy(id, keep, signal) {
      await open();
      try {
        await using machine = await openMachine(host, id, signal);
        return await tidyMachine(host, machine, { keep, signal });
      } catch (cause) {
        // What is made for a backup goes when QEMU goes; bitmaps in images are removed when it runs again.
        if (cause instanceof HypervisorError && cause.code === 'NOT_FOUND') return [];
        throw cause;
      }
    },
  };
}
