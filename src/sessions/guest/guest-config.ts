import { diskIds } from '../../hypervisors/base/disk-ids.ts';
import type { Address, TlsCredentials } from '../../sys/net/network.ts';
export { shellWords } from '../../lib/shell-words.ts';
import { scsiController, type TargetDisk } from './libvirt-disks.ts';
import type { Bus } from '../../hypervisors/base/disk-targets.ts';

/*
 * Configuration for administrators to paste, which attaches a session's disks. Each says how long to wait for a
 * server that restarts: without that a guest gets I/O errors at once.
 */
export interface AttachedDisk {
  readonly disk: string;
  readonly address: Address;
  /** The kind of TLS credentials; undefined: without TLS. */
  readonly tls: TlsCredentials['kind'] | undefined;
  /** Undefined: QEMU's default of 512, since QEMU does not take it from the server. */
  readonly sectorSize?: number;
  /** Where the disk was in its machine; undefined: not known, and it is a virtio disk. */
  readonly place?: Pick<TargetDisk, 'target' | 'on' | 'model' | 'ids'>;
}

/** The time that a restart with a large index may take, and that a guest's own timeouts allow. */
const RECONNECT_SECONDS = 60;

/** Where libvirt looks for a host's certificates: ca-cert.pem, and client-cert.pem with client-key.pem. */
export const CERTIFICATES = '/etc/pki/qemu';
/** In it, keys.psk: lines of identity:key. */
export const SHARED_KEYS = '/etc/pki/qemu-psk';

/** Arguments for qemu-system-*, one disk each. */
export function qemuArguments(disks: readonly AttachedDisk[]): string[] {
  const hasScsi = disks.some(({ place }) => place?.on === 'scsi');
  return [
    ...credentialArguments(disks),
    ...(hasScsi ? ['-device', 'virtio-scsi-pci,id=scsi0'] : []),
    ...disks.flatMap((disk, at) => diskArguments(disk, nodeName(disk, at, disks))),
  ];
}

/** `ide-hd` is a SATA disk where the model of the machine has SATA. */
function deviceOf({ place }: AttachedDisk): string {
  if (!place || place.on === 'virtio') return 'virtio-blk-pci';
  return place.on === 'scsi' ? 'scsi-hd,bus=scsi0.0' : 'ide-hd';
}

function credentialArguments(disks: readonly AttachedDisk[]): string[] {
  const tls = disks.find((it) => it.tls !== undefined)?.tls;
  if (tls === undefined) return [];
  const kind =
    tls === 'x509'
      ? `tls-creds-x509,dir=${CERTIFICATES}`
      : `tls-creds-psk,dir=${SHARED_KEYS},username=IDENTITY`;
  return ['-object', `${kind},id=tls0,endpoint=client`];
}

/** The rule of QEMU's IDs (util/id.c, id_wellformed), and the length of its names of nodes. */
const NODE_NAME = /^[A-Za-z][A-Za-z0-9._-]{0,30}$/;

/** The disk's own name where QEMU takes it. */
function nodeName({ disk }: AttachedDisk, at: number, all: readonly AttachedDisk[]): string {
  if (NODE_NAME.test(disk)) return disk;
  let name = `disk${at}`;
  while (all.some((it) => it.disk === name)) name = `${name}_`;
  return name;
}

function diskArguments(attached: AttachedDisk, name: string): string[] {
  const { disk, address, tls, sectorSize } = attached;
  const node = {
    driver: 'nbd',
    'node-name': name,
    export: disk,
    server: qemuServer(address),
    ...(tls && { 'tls-creds': 'tls0' }),
    'reconnect-delay': RECONNECT_SECONDS,
    discard: 'unmap',
  };
  const sectors = sectorSize
    ? `,logical_block_size=${sectorSize},physical_block_size=${sectorSize}`
    : '';
  const device = `${deviceOf(attached)},drive=${name}${sectors}${idOptions(attached)}`;
  return ['-blockdev', JSON.stringify(node), '-device', device];
}

function idOptions({ place }: AttachedDisk): string {
  const { serial, wwn } = diskIds(place?.ids, place?.on ?? 'virtio');
  return `${serial === undefined ? '' : `,serial=${serial}`}${wwn === undefined ? '' : `,wwn=0x${wwn}`}`;
}

function qemuServer(address: Address) {
  if (address.kind === 'unix') return { type: 'unix', path: address.path };
  if (address.kind === 'tcp') {
    return { type: 'inet', host: address.host, port: String(address.port) };
  }
  return { type: 'fd', str: String(address.fd) };
}

/**
 * `<disk>` elements of a libvirt domain, for all versions: a version that does not know an element refuses it, or
 * ignores it silently. While the server is away the guest is paused instead of getting an error.
 */
export function libvirtXml(disks: readonly AttachedDisk[]): string {
  const xml = disks
    .map(({ disk, address, tls, sectorSize, place }) => {
      const source = `<source protocol='nbd' name='${escapedXml(disk)}'${tls ? " tls='yes'" : ''}>`;
      return [
        "<disk type='network' device='disk'>",
        "  <driver name='qemu' type='raw' discard='unmap' error_policy='stop' rerror_policy='stop'/>",
        `  ${source}`,
        `    ${libvirtHost(address)}`,
        '  </source>',
        `  <target dev='${escapedXml(place?.target ?? disk)}' bus='${place?.on ?? 'virtio'}'/>`,
        ...idElements(place?.ids, place?.on ?? 'virtio').map((line) => `  ${line}`),
        ...blockSizes(sectorSize).map((line) => `  ${line}`),
        '</disk>',
      ].join('\n');
    })
    .join('\n');
  const controller = scsiController(disks.flatMap(({ place }) => place ?? []));
  return [...tlsNotes(disks[0]?.tls), ...PAUSE_NOTES, ...controller, xml].join('\n');
}

/** The element of `<disk>` for sectors that do not have 512 bytes. */
export function blockSizes(sectorSize: number | undefined): string[] {
  if (sectorSize === undefined) return [];
  return [`<blockio logical_block_size='${sectorSize}' physical_block_size='${sectorSize}'/>`];
}

/** The elements of `<disk>` by which its guest knows it again. */
export function idElements(ids: TargetDisk['ids'] | undefined, bus: Bus): string[] {
  const { serial, wwn } = diskIds(ids, bus);
  return [
    ...(serial === undefined ? [] : [`<serial>${escapedXml(serial)}</serial>`]),
    ...(wwn === undefined ? [] : [`<wwn>${wwn}</wwn>`]),
  ];
}

const PAUSE_NOTES: readonly string[] = [
  '<!-- While the server restarts the guest is paused: virsh resume DOMAIN. A newer libvirt waits on its own',
  `     with this in <source>: <reconnect delay='${RECONNECT_SECONDS}'/> -->`,
];

function tlsNotes(tls: AttachedDisk['tls']): string[] {
  if (tls === 'psk')
    return ['<!-- libvirt does not support pre-shared keys: serve with TLS x509 -->'];
  if (tls === undefined) return [];
  return [
    `<!-- The host needs ca-cert.pem in ${CERTIFICATES} (or nbd_tls_x509_cert_dir in qemu.conf), and client-cert.pem`,
    '     and client-key.pem if this server has a ca-cert.pem -->',
  ];
}

function libvirtHost(address: Address): string {
  if (address.kind === 'unix') {
    return `<host transport='unix' socket='${escapedXml(address.path)}'/>`;
  }
  if (address.kind === 'tcp')
    return `<host name='${escapedXml(address.host)}' port='${address.port}'/>`;
  return '<!-- a socket that systemd opened: put its address here -->';
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&apos;',
  '"': '&quot;',
  // In an attribute a reader would turn them into spaces.
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
};

export function escapedXml(text: string): string {
  return xmlSigns(text).replace(/[&<>'"\t\n\r]/g, (sign) => ENTITIES[sign]!);
}

/** XML 1.0 has no way to write the other control characters and halves of pairs (2.2, "Characters"). */
export function xmlSigns(text: string): string {
  return text.replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '\uFFFD');
}
