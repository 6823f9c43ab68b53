import { LIBVIRT_ERRORS } from '../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS } from '../../formats/wire/libvirt-calls.ts';
import type { Clock } from '../../sys/base/clock.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import type { BackupDriver } from '../base/backup-driver.ts';
import { type ExportWay, localExports } from '../base/export-way.ts';
import type { Finding } from '../base/finding.ts';
import type { Hypervisor, HypervisorOptions } from '../base/hypervisor.ts';
import type { HypervisorTarget } from '../base/target.ts';
import { beginBackup } from '../libvirt/begin-backup.ts';
import { checkMachine } from '../libvirt/check.ts';
import { ownIds } from '../../sys/net/unix-peer.ts';
import { type DataWay, localWay, SHARED_SOCKETS, usualSockets } from '../libvirt/data-way.ts';
import { readDomain } from '../libvirt/domain.ts';
import { libvirtGuests } from '../libvirt/guest-agent.ts';
import { eitherFiles, localFiles, pooledFiles, poolsOf } from '../libvirt/host-files.ts';
import { isNumber } from '../libvirt/libvirt-error.ts';
import { removeLeftScratch } from '../libvirt/left-scratch.ts';
import type { LibvirtHost } from '../libvirt/libvirt-host.ts';
import { openLink } from '../libvirt/link.ts';
import { libvirtRestores } from '../libvirt/back/restore-driver.ts';
import { noTlsExports, sshExports } from '../libvirt/run/export-ways.ts';
import { libvirtRuns } from '../libvirt/run/run-driver.ts';
import { describedBy, listMachines, machineById, powerOf } from '../libvirt/machines.ts';
import { sshWay } from '../libvirt/ssh-way.ts';
import { openStopped } from '../libvirt/stopped-machine.ts';
import { tidyMachine } from '../libvirt/tidy.ts';
import { tlsWay } from '../libvirt/tls-way.ts';
import { libvirtPlace } from '../libvirt/uri.ts';

export interface LibvirtOptions extends HypervisorOptions {
  readonly target: HypervisorTarget;
  readonly clock: Clock;
  readonly files: Pick<FileSystem, 'readFile'>;
  /** A directory of the host for the sockets of backups; undefined: the usual one. */
  readonly sockets: string | undefined;
  /** A directory of the host for what guests overwrite during a backup; undefined: beside each image. */
  readonly scratch: string | undefined;
}

/** Enough to tell stores apart: names of checkpoints and paths of sockets are short. */
const OWNER_LENGTH = 8;

/** QEMU through libvirt. Rejects HypervisorError. */
export async function openLibvirt(
  options: LibvirtOptions,
  signal: AbortSignal,
): Promise<Hypervisor> {
  const { target, name, scratch, clock } = options;
  const owner = options.owner.slice(0, OWNER_LENGTH);
  const connect = (until: AbortSignal) => openLink(target, { clock, signal: until });
  const link = await connect(signal);
  try {
    const qemu = versionText(await link.call(LIBVIRT_CALLS.version, undefined, signal));
    const libvirt = versionText(await link.call(LIBVIRT_CALLS.libVersion, undefined, signal));
    const hostname = await link.call(LIBVIRT_CALLS.hostname, undefined, signal);
    const isRemote = target.ssh !== undefined || target.tls !== undefined;
    const withPool = poolsOf({ link, owner });
    const pooled = pooledFiles(link, withPool);
    const host: LibvirtHost = {
      ...{ link, reconnect: connect, name, owner, scratch, clock, withPool },
      product: `QEMU ${qemu}, libvirt ${libvirt}`,
      way: wayTo(options, link.peer),
      files: isRemote ? pooled : eitherFiles(localFiles(options.files), pooled),
      isLocal: !isRemote,
    };
    const runHost = { ...host, connect, exports: exportsTo(options) };
    return {
      kind: 'libvirt',
      facts: { product: host.product, host: hostname },
      machines: (until) => listMachines(host, until),
      async describe(id, until) {
        const domain = await machineById(host, id, until);
        return describedBy(host, { domain, signal: until, onNotice: undefined });
      },
      check: async (until) => checkHost(host, until),
      backup: backupDriver(host),
      run: libvirtRuns(runHost),
      restore: libvirtRestores(runHost),
      guests: libvirtGuests(host),
      [Symbol.asyncDispose]: () => link[Symbol.asyncDispose](),
    };
  } catch (cause) {
    await link[Symbol.asyncDispose]();
    throw cause;
  }
}

function wayTo({ target, sockets, clock }: LibvirtOptions, peer: string | undefined): DataWay {
  if (target.tls) return tlsWay(target.tls, peer ?? target.tls.host);
  if (target.ssh) return sshWay(target.ssh, sockets ?? SHARED_SOCKETS, clock);
  return localWay(sockets ?? usualSockets(libvirtPlace(target).driver, ownIds().uid));
}

function exportsTo({ target, sockets, clock }: LibvirtOptions): ExportWay {
  if (target.tls) return noTlsExports;
  if (target.ssh) return sshExports(target.ssh, sockets ?? SHARED_SOCKETS, clock);
  return localExports;
}

/** As libvirt counts: 1,000,000 major + 1000 minor + release. */
function versionText(it: number): string {
  return [Math.floor(it / 1e6), Math.floor(it / 1000) % 1000, it % 1000].join('.');
}

function backupDriver(host: LibvirtHost): BackupDriver {
  return {
    async check(id, wish, signal) {
      return checkMachine(host, await machineById(host, id, signal), { wish, signal });
    },
    async begin(id, wish, since, options) {
      const { signal } = options;
      const domain = await machineById(host, id, signal);
      const wanted = { domain, wish, since, options };
      if ((await powerOf(host, domain, signal)) !== 'off') return beginBackup(host, wanted);
      return openStopped(host, wanted);
    },
    async tidy(id, keep, signal) {
      try {
        const domain = await machineById(host, id, signal);
        const done = await tidyMachine(host, domain, { keep, signal });
        const xml = await host.link.call(LIBVIRT_CALLS.domainXml, { domain, flags: 0 }, signal);
        return [...done, ...(await removeLeftScratch(host, readDomain(xml), signal))];
      } catch (cause) {
        // Nothing of ours is left of a machine that is gone.
        if (isNumber(cause, LIBVIRT_ERRORS.noDomain)) return [];
        throw cause;
      }
    },
  };
}

/** What backups of any machine there need. */
async function checkHost(host: LibvirtHost, signal: AbortSignal): Promise<readonly Finding[]> {
  const version = await host.link.call(LIBVIRT_CALLS.libVersion, undefined, signal);
  if (version >= BACKUPS_SINCE) {
    const known: Finding = { level: 'note', code: 'version', message: host.product };
    return host.way.note ? [known, host.way.note] : [known];
  }
  return [
    {
      level: 'blocker',
      code: 'version',
      message: `${host.product}: incremental backups need libvirt ${versionText(BACKUPS_SINCE)}`,
      remedy: 'upgrade the hypervisor',
    },
  ];
}

/** Incremental backups are on by default from then on (libvirt.org/news.html). */
const BACKUPS_SINCE = 7_002_000;
