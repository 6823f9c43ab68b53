import type { QmpProcessor } from '../../formats/wire/qmp-answers.ts';
import type {
  DescribedNic,
  Firmware,
  MachineDescription,
  MachineProcessors,
} from '../../formats/store/catalog/machine.ts';
import { utf8 } from '../../lib/bytes.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { commandLine } from '../../sys/process/process-files.ts';
import type { BackupWish } from '../base/backup-driver.ts';
import { describedDisks } from '../base/chosen-disks.ts';
import type { DescribedMachine, MachineFile } from '../base/machines.ts';
import { QMP, verbatim } from './commands.ts';
import { disksOf, type Flash, flashOf, orNothing, type QemuDisk } from './disks.ts';
import type { QmpLink } from './link.ts';
import type { OpenMachine } from './machines.ts';
import type { QmpHost } from './qmp-host.ts';

/*
 * A machine as QEMU describes it while it runs. QEMU does not say with what it was started: the words of its process
 * are kept, as the administrator wrote them, beside its answers. It does not say what its clock is set to, in which
 * order it boots, or where its TPM keeps its state.
 */

const DEFINITION = 'qemu.json';
const VARIABLES = 'firmware-variables';
/** Variables of UEFI take up to 4 MiB; the image of a larger flash is not read. */
const VARIABLES_MAX = 16 * 1024 * 1024;

interface Asked {
  /** Which disks are left out by choice; undefined: none. */
  readonly wish: BackupWish | undefined;
  readonly signal: AbortSignal;
  /** Called for a file of the machine that cannot be had. */
  readonly onNotice: (message: string) => void;
}

export interface DescribedQemu {
  readonly described: DescribedMachine;
  readonly disks: readonly QemuDisk[];
}

export async function describeMachine(
  host: QmpHost,
  { link, name, uuid }: Pick<OpenMachine, 'link' | 'name' | 'uuid'>,
  { wish, signal, onNotice }: Asked,
): Promise<DescribedQemu> {
  const drives = await link.call(verbatim(QMP.drives), undefined, signal);
  const processors = await link.call(verbatim(QMP.processors), undefined, signal);
  const bytes = await link.call(QMP.memory, undefined, signal);
  const arch = await link.call(QMP.target, undefined, signal);
  const type = await orNothing(
    link.call(QMP.textProperty, { path: '/machine', property: 'type' }, signal),
  );
  const disks = await disksOf(link, drives.value, signal);
  const nics = await nicsOf(link, signal);
  const tpms = (await orNothing(link.call(QMP.tpms, undefined, signal))) ?? [];
  const words = await wordsOf(link, uuid);
  const flash = flashOf(drives.value);
  const variables = await readVariables(host, { path: flash?.variables, onNotice });
  if (tpms.length > 0)
    onNotice('the state of its TPM is not in the recovery point: QEMU does not say where it is');
  const machineType = type?.replace(/-machine$/, '');
  const machine: MachineDescription = {
    from: { kind: 'qemu', hypervisor: host.name, product: productOf(link), id: uuid, name },
    ...{ arch, firmware: firmwareOf(flash, variables !== undefined) },
    ...(machineType !== undefined && { machineType }),
    cpu: await processorsOf(link, processors.value, { arch, signal }),
    memory: { bytes },
    ids: { uuid },
    clock: words?.some((it) => /^base=localtime\b|,base=localtime\b/.test(it))
      ? 'localtime'
      : 'utc',
    disks: wish ? describedDisks({ name, disks }, wish) : disks.map((it) => it.described),
    nics,
    ...(tpms.length > 0 && { tpm: { version: '2.0' as const } }),
    ...{ boot: [], autostart: false },
    native: { format: 'qemu-json', file: DEFINITION },
  };
  const answers = { 'query-block': drives.answer, 'query-cpus-fast': processors.answer };
  const text = JSON.stringify({ commandLine: words ?? null, answers }, undefined, 2);
  const definition: MachineFile = {
    name: DEFINITION,
    kind: 'definition',
    read: async () => utf8(`${text}\n`),
  };
  return {
    disks,
    described: { machine, files: variables ? [definition, variables] : [definition] },
  };
}

function productOf({ version: { major, minor, micro } }: QmpLink): string {
  return `QEMU ${major}.${minor}.${micro}`;
}

/** The process that listens may be another one's successor: its words name the machine, or are not its own. */
async function wordsOf({ pid }: QmpLink, uuid: string): Promise<readonly string[] | undefined> {
  const words = pid === undefined ? undefined : await commandLine(pid);
  return words?.some((it) => it.toLowerCase().includes(uuid)) ? words : undefined;
}

function firmwareOf(flash: Flash | undefined, hasVariables: boolean): Firmware {
  if (!flash) return { kind: 'bios' };
  return {
    kind: 'uefi',
    // Builds that can are named so, by Debian ".ms" and by Fedora ".secboot".
    secureBoot: /\.ms\.|secboot|secure/i.test(flash.code),
    ...(hasVariables && { varsFile: VARIABLES }),
  };
}

async function readVariables(
  { files }: QmpHost,
  { path, onNotice }: { readonly path: string | undefined; readonly onNotice: Asked['onNotice'] },
): Promise<MachineFile | undefined> {
  if (path === undefined) return undefined;
  try {
    if (!path.startsWith('/')) throw new SystemError('INVALID', `"${path}" is not a path`);
    const bytes = await files.readFile(path, VARIABLES_MAX);
    return { name: VARIABLES, kind: 'firmware-vars', read: async () => bytes };
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    onNotice(`the variables of its firmware are not in the recovery point: ${cause.message}`);
    return undefined;
  }
}

async function processorsOf(
  link: QmpLink,
  all: readonly QmpProcessor[],
  { arch, signal }: { readonly arch: string; readonly signal: AbortSignal },
): Promise<MachineProcessors> {
  const count = Math.max(1, all.length);
  const number = (of: (it: QmpProcessor) => number | undefined): number =>
    new Set(all.map((it) => of(it) ?? 0)).size || 1;
  const sockets = number((it) => it.socket);
  const cores = number((it) => it.core);
  const threads = number((it) => it.thread);
  const [first] = all;
  const asked =
    first && link.call(QMP.textProperty, { path: first.path, property: 'type' }, signal);
  const model = asked && (await orNothing(asked))?.replace(`-${arch}-cpu`, '');
  return {
    count,
    ...(sockets * cores * threads === count && { sockets, cores, threads }),
    ...(model !== undefined && { model }),
  };
}

const CONTAINERS = ['/machine/peripheral', '/machine/peripheral-anon', '/machine/unattached'];
const NIC =
  /^child<((?:virtio-net|e1000|igb|rtl8139|vmxnet3|ne2k|pcnet|i825|usb-net|tulip|xen-net).*)>$/;
/** More cards than a machine has slots. */
const NICS_MAX = 64;

async function nicsOf(link: QmpLink, signal: AbortSignal): Promise<readonly DescribedNic[]> {
  const nics: DescribedNic[] = [];
  for (const container of CONTAINERS) {
    const devices = (await orNothing(link.call(QMP.devices, { path: container }, signal))) ?? [];
    for (const { name, type } of devices) {
      const model = NIC.exec(type)?.[1];
      // The other half of a virtio card is its part, not another card.
      if (model === undefined || model.endsWith('-device') || nics.length >= NICS_MAX) continue;
      const path = `${container}/${name}`;
      const text = (property: string) =>
        orNothing(link.call(QMP.textProperty, { path, property }, signal));
      const mac = await text('mac');
      if (mac === undefined) continue;
      const network = { kind: 'netdev', name: (await text('netdev')) ?? '' };
      nics.push({ ...{ mac, model, network }, connected: network.name !== '' });
    }
  }
  return nics;
}
