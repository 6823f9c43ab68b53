import type { LibvirtDomain } from '../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../formats/wire/libvirt-calls.ts';
import type { MachineDescription, PointFileKind } from '../../formats/store/catalog/machine.ts';
import { utf8 } from '../../lib/bytes.ts';
import type { BackupWish } from '../base/backup-driver.ts';
import type {
  DescribedMachine,
  MachineFile,
  MachineId,
  MachinePower,
  MachineSummary,
} from '../base/machines.ts';
import { describedDisks } from '../base/chosen-disks.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { tpmStatePath } from '../base/swtpm.ts';
import { type Domain, readDomain } from './domain.ts';
import { steadyBytes } from './host-files.ts';
import type { LibvirtHost } from './libvirt-host.ts';

const DEFINITION = 'machine.xml';
const VARIABLES = 'firmware-variables';
const TPM = 'tpm-state';

/** Three calls for all of them, however many there are. */
export async function listMachines(
  { link }: LibvirtHost,
  signal: AbortSignal,
): Promise<readonly MachineSummary[]> {
  const { active, inactive, managedSave, noManagedSave } = LIBVIRT_FLAGS.listDomains;
  const list = (flags: number) =>
    link.call(LIBVIRT_CALLS.listDomains, { wanted: 1, flags }, signal);
  const [on, off, saved] = await Promise.all([
    list(active),
    list(inactive | noManagedSave),
    list(inactive | managedSave),
  ]);
  const machines = [
    ...on.domains.map((it) => summary(it, 'on')),
    ...off.domains.map((it) => summary(it, 'off')),
    ...saved.domains.map((it) => summary(it, 'saved')),
  ];
  return machines.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function summary({ uuid, name }: LibvirtDomain, power: MachinePower): MachineSummary {
  return { id: uuid, name, power };
}

/** Rejects NOT_FOUND. */
export function machineById(
  { link }: LibvirtHost,
  id: MachineId,
  signal: AbortSignal,
): Promise<LibvirtDomain> {
  return link.call(LIBVIRT_CALLS.domainByUuid, { uuid: id }, signal);
}

const POWER: Readonly<Record<string, MachinePower>> = {
  ...{ running: 'on', blocked: 'on', 'shutting-down': 'on' },
  ...{ paused: 'paused', suspended: 'suspended', off: 'off', crashed: 'off' },
};

/** `off` whether its memory is saved or not. */
export async function powerOf(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<MachinePower> {
  const { state } = await link.call(LIBVIRT_CALLS.domainState, { domain, flags: 0 }, signal);
  return POWER[state] ?? 'unknown';
}

/** Whether the host keeps the memory of a machine that is off, from which it goes on when it is started. */
export async function isSaved(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<boolean> {
  return (await link.call(LIBVIRT_CALLS.hasManagedSave, { domain, flags: 0 }, signal)) !== 0;
}

interface Described {
  readonly domain: LibvirtDomain;
  /** Which disks are left out by choice; undefined: none. */
  readonly wish?: BackupWish | undefined;
  readonly signal: AbortSignal;
  /** Called for a file of the machine that cannot be had; undefined: files are read only when they are asked for. */
  readonly onNotice: ((message: string) => void) | undefined;
}

export async function describedBy(
  host: LibvirtHost,
  { domain, wish, signal, onNotice }: Described,
): Promise<DescribedMachine> {
  const { link, name: hypervisor, product } = host;
  const { secure, inactive } = LIBVIRT_FLAGS.domainXml;
  // What it is started with the next time, with its passwords: a restored machine would lack them otherwise.
  const xml = await link.call(
    LIBVIRT_CALLS.domainXml,
    { domain, flags: secure | inactive },
    signal,
  );
  const isAutostart = (await link.call(LIBVIRT_CALLS.autostart, { domain }, signal)) !== 0;
  const described = readDomain(xml);
  const { description, tpm, uuid } = described;
  // As it runs: disks may have been attached and detached that this definition knows nothing of.
  const now = readDomain(await link.call(LIBVIRT_CALLS.domainXml, { domain, flags: 0 }, signal));
  const present = { ...described, disks: now.disks };
  const { firmware, nvram } = firmwareOf(domain, described, now);
  const fetch = async (name: string, kind: PointFileKind, path: string | undefined) => {
    if (path === undefined) return undefined;
    const read = (until: AbortSignal) => host.files.read(path, { machine: uuid, signal: until });
    if (!onNotice) return { name, kind, read };
    try {
      const bytes = await steadyBytes(host, () => read(signal), signal);
      return { name, kind, read: async () => bytes };
    } catch (cause) {
      if (!(cause instanceof HypervisorError)) throw cause;
      onNotice(`${WHAT[kind]} not in the recovery point: ${cause.message}`);
      return undefined;
    }
  };
  const variables = await fetch(VARIABLES, 'firmware-vars', nvram);
  const tpmPath = tpm && tpmStatePath(uuid, tpm.version);
  const tpmState = await fetch(TPM, 'tpm-state', tpmPath);
  const machine: MachineDescription = {
    ...description,
    disks: await withSizes(host, domain, {
      disks: wish ? describedDisks(present, wish) : present.disks.map((it) => it.described),
      signal,
    }),
    from: { kind: 'libvirt', hypervisor, product, id: uuid, name: described.name },
    firmware:
      firmware.kind === 'uefi' && variables ? { ...firmware, varsFile: VARIABLES } : firmware,
    ...(tpm && { tpm: { version: tpm.version, ...(tpmState && { stateFile: TPM }) } }),
    autostart: isAutostart,
    native: { format: 'libvirt-xml', file: DEFINITION },
  };
  const definition: MachineFile = {
    name: DEFINITION,
    kind: 'definition',
    read: async () => utf8(xml),
  };
  return { machine, files: [definition, variables, tpmState].filter((it) => it !== undefined) };
}

/** Where libvirt puts the variables of a machine's firmware if nothing else is said (virQEMUDriverConfig, nvramDir). */
const VARIABLES_OF = '/var/lib/libvirt/qemu/nvram';

/**
 * A definition may only say that there is UEFI, as virt-install writes it. libvirt then chooses the files at each
 * start, and names them where it describes the machine that runs, not in its definition (9.0).
 */
function firmwareOf(
  { id }: LibvirtDomain,
  defined: Domain,
  now: Domain,
): Pick<Domain, 'nvram'> & Pick<MachineDescription, 'firmware'> {
  const { nvram, name } = defined;
  const { firmware } = defined.description;
  if (!defined.hasFirmwareLater) return { nvram, firmware };
  if (id === OFF) return { nvram: `${VARIABLES_OF}/${name}_VARS.fd`, firmware };
  return { nvram: now.nvram, firmware: now.description.firmware };
}

/** The number of a machine that does not run. */
const OFF = -1;

/** As guests see them. A disk that cannot be backed up may have none, such as an empty drive. */
function withSizes(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  { disks, signal }: { readonly disks: MachineDescription['disks']; readonly signal: AbortSignal },
): Promise<MachineDescription['disks']> {
  return Promise.all(
    disks.map(async (disk) => {
      if (disk.excluded) return disk;
      try {
        const asked = { domain, disk: disk.name, flags: 0 };
        const { capacity } = await link.call(LIBVIRT_CALLS.diskInfo, asked, signal);
        return { ...disk, size: capacity };
      } catch (cause) {
        // Where it matters, a backup says what is wrong with the disk.
        if (!(cause instanceof HypervisorError)) throw cause;
        return disk;
      }
    }),
  );
}

const WHAT: Readonly<Partial<Record<PointFileKind, string>>> = {
  'firmware-vars': 'the variables of its firmware are',
  'tpm-state': 'the state of its TPM is',
};
