import { dirname } from 'node:path/posix';
import type { DescribedNic, MachineDescription } from '../../formats/store/catalog/machine.ts';
import { sessionUuid } from '../../formats/store/sessions/session-uuid.ts';
import { tpmStatePath } from '../../hypervisors/base/swtpm.ts';
import { tpmVersion } from '../../hypervisors/base/tpm-version.ts';
import { printable } from '../../lib/printable.ts';
import { shellWords } from '../../lib/shell-words.ts';
import { blockSizes, escapedXml, idElements, xmlSigns } from './guest-config.ts';
import { type TargetDisk, scsiController, targetsOf } from './libvirt-disks.ts';
import { cardModel, macOf } from './network-cards.ts';
import { bootDisks, type Subject } from './session-machine.ts';
import { qemuType } from '../../hypervisors/base/disk-targets.ts';

/*
 * A libvirt domain for a session: the machine as it was, but with a UUID of its own, and with network cards that are
 * not connected, since it must not meet its original. Without a description, a plain machine.
 */

/** The path at which our texts tell hosts to mount the export. */
export const MOUNT_POINT = '/mnt/holdfast';

export interface DomainOptions {
  readonly machine: MachineDescription | undefined;
  /** The name of the file with the variables of its firmware, beside the disks. */
  readonly variables: string | undefined;
  /** The name of the file with the state of its TPM, beside the disks. */
  readonly tpmState: string | undefined;
  /** Undefined: the session's directory, over NFS. */
  readonly images?: DiskImages | undefined;
}

/** Where its disks are. */
export interface DiskImages {
  readonly directory: string;
  of(disk: string): { readonly name: string; readonly format: string };
}

function imagesOf({ id }: Subject, images: DiskImages | undefined): DiskImages {
  if (images) return images;
  const of: DiskImages['of'] = (disk) => ({ name: `${disk}.raw`, format: 'raw' });
  return { directory: `${MOUNT_POINT}/${id}`, of };
}

export function libvirtDomain(session: Subject, options: DomainOptions): string {
  const { machine, tpmState } = options;
  const disks = targetsOf(session, machine);
  const boot = bootDisks(session, machine);
  return [
    "<domain type='kvm'>",
    `  <name>${escapedXml(`${session.machine}-recovered`)}</name>`,
    // libvirt finds the state of a TPM by it.
    ...(machine?.tpm && tpmState ? [`  <uuid>${sessionUuid(session)}</uuid>`] : []),
    ...processors(machine),
    ...system(session, options),
    `  <features><acpi/><apic/>${isSecure(machine) ? "<smm state='on'/>" : ''}</features>`,
    ...(machine ? [`  <clock offset='${machine.clock}'/>`] : []),
    '  <devices>',
    ...scsiController(disks).map((line) => `    ${line}`),
    ...disks.flatMap((disk) =>
      diskElement(imagesOf(session, options.images), disk, boot.indexOf(disk.name)),
    ),
    ...(machine?.nics ?? []).flatMap(networkCard),
    ...security(session, options),
    ...(machine ? SCREEN : []),
    "    <serial type='pty'/>",
    "    <console type='pty'/>",
    '  </devices>',
    '</domain>',
    '',
  ].join('\n');
}

const PLAIN_MEMORY = "  <memory unit='MiB'>2048</memory>";
const PLAIN = [PLAIN_MEMORY, '  <vcpu>2</vcpu>'];
/** No machine has less: its hypervisor did not say how much it has. */
const MEMORY_MIN = 2 ** 20;

function processors(machine: MachineDescription | undefined): string[] {
  if (!machine) return PLAIN;
  const { count, sockets, cores, threads, model } = machine.cpu;
  const { bytes } = machine.memory;
  const hasTopology = sockets && cores && threads && sockets * cores * threads === count;
  const topology = hasTopology
    ? `<topology sockets='${sockets}' cores='${cores}' threads='${threads}'/>`
    : '';
  const mode = /^host-(passthrough|model)$/.test(model ?? '') ? ` mode='${model}'` : '';
  return [
    bytes < MEMORY_MIN ? PLAIN_MEMORY : `  <memory unit='KiB'>${Math.floor(bytes / 1024)}</memory>`,
    `  <vcpu>${count}</vcpu>`,
    ...(mode === '' && topology === '' ? [] : [`  <cpu${mode}>${topology}</cpu>`]),
  ];
}

function isSecure(machine: MachineDescription | undefined): boolean {
  return machine?.firmware.kind === 'uefi' && machine.firmware.secureBoot;
}

const ARCHITECTURE = /^\w{1,32}$/;

function system(session: Subject, { machine, variables, images }: DomainOptions): string[] {
  if (!machine) return ["  <os><type arch='x86_64'>hvm</type></os>"];
  const model = qemuType(machine);
  const arch = ARCHITECTURE.test(machine.arch) ? machine.arch : 'x86_64';
  const type = `<type arch='${arch}'${model ? ` machine='${model}'` : ''}>hvm</type>`;
  if (machine.firmware.kind !== 'uefi') return [`  <os>${type}</os>`];
  const path = variables && `${imagesOf(session, images).directory}/${variables}`;
  const state = isSecure(machine) ? 'yes' : 'no';
  return [
    "  <os firmware='efi'>",
    `    ${type}`,
    `    <firmware><feature enabled='${state}' name='secure-boot'/></firmware>`,
    ...(path === undefined ? [] : [`    <nvram>${escapedXml(path)}</nvram>`]),
    '  </os>',
  ];
}

function diskElement(
  { directory, of }: DiskImages,
  { name, target, on, sectorSize, ids }: TargetDisk,
  boot: number,
): string[] {
  const image = of(name);
  return [
    "    <disk type='file' device='disk'>",
    `      <driver name='qemu' type='${image.format}' cache='none'/>`,
    `      <source file='${escapedXml(`${directory}/${image.name}`)}'/>`,
    `      <target dev='${escapedXml(target)}' bus='${on}'/>`,
    ...(boot < 0 ? [] : [`      <boot order='${boot + 1}'/>`]),
    ...idElements(ids, on).map((line) => `      ${line}`),
    ...blockSizes(sectorSize).map((line) => `      ${line}`),
    '    </disk>',
  ];
}

function networkCard(nic: DescribedNic): string[] {
  const { network, connected } = nic;
  const mac = macOf(nic);
  const vlan = network.vlan === undefined ? '' : `, VLAN ${network.vlan}`;
  const was = `${network.kind} ${network.name}${vlan}${connected ? '' : ', not connected'}`;
  return [
    `    <!-- was on ${comment(was)} -->`,
    "    <interface type='user'>",
    ...(mac === undefined ? [] : [`      <mac address='${mac}'/>`]),
    `      <model type='${cardModel(nic, 'libvirt')}'/>`,
    "      <link state='down'/>",
    '    </interface>',
  ];
}

function security(session: Subject, { machine, tpmState, images }: DomainOptions): string[] {
  const { tpm } = machine ?? {};
  if (!tpm) return [];
  const notes = tpmState
    ? ['Its TPM has the state of the backup if this is done before it starts. It needs swtpm.']
    : ['A new TPM: a system with an encrypted disk asks for its recovery key. It needs swtpm.'];
  return [
    ...[...notes, ...tpmSteps(session, { machine, tpmState, images })].map(
      (line) => `    <!-- ${comment(line)} -->`,
    ),
    `    <tpm model='${tpmVersion(tpm) === '2.0' ? 'tpm-crb' : 'tpm-tis'}'>`,
    `      <backend type='emulator' version='${tpmVersion(tpm)}'/>`,
    '    </tpm>',
  ];
}

/** What puts the state of the machine's TPM where libvirt looks for it, which gives it to swtpm's account itself. */
export function tpmSteps(
  session: Subject,
  { machine, tpmState, images }: Pick<DomainOptions, 'machine' | 'tpmState' | 'images'>,
): readonly string[] {
  if (!machine?.tpm || tpmState === undefined) return [];
  const path = tpmStatePath(sessionUuid(session), tpmVersion(machine.tpm));
  const from = imagesOf(session, images).directory;
  return [
    shellWords(['mkdir', '-p', dirname(path)]),
    shellWords(['cp', `${from}/${tpmState}`, path]),
  ];
}

const SCREEN: readonly string[] = [
  "    <graphics type='vnc' autoport='yes' listen='127.0.0.1'/>",
  "    <video><model type='vga'/></video>",
];

/** Two hyphens end a comment. */
function comment(text: string): string {
  return xmlSigns(printable(text)).replaceAll('--', '‐‐');
}
