import type { Address } from '../sys/network.ts';

/*
 * What an administrator pastes to attach a session's disks. Each says how long to wait for a server that
 * is being restarted: without that a guest gets I/O errors at once.
 */
export interface AttachedDisk {
  readonly disk: string;
  readonly address: Address;
  readonly tls: boolean;
}

/** As long as a restart with a large index may take, and a guest's own time-outs allow. */
const RECONNECT_SECONDS = 60;

/** Arguments for qemu-system-*, one disk each as virtio-blk. */
export function qemuArguments(disks: readonly AttachedDisk[]): string[] {
  return disks.flatMap(({ disk, address, tls }) => {
    const node = {
      driver: 'nbd',
      'node-name': disk,
      export: disk,
      server: qemuServer(address),
      ...(tls && { 'tls-creds': 'tls0' }),
      'reconnect-delay': RECONNECT_SECONDS,
      discard: 'unmap',
    };
    return ['-blockdev', JSON.stringify(node), '-device', `virtio-blk-pci,drive=${disk}`];
  });
}

function qemuServer(address: Address) {
  if (address.kind === 'unix') return { type: 'unix', path: address.path };
  if (address.kind === 'tcp') {
    return { type: 'inet', host: address.host, port: String(address.port) };
  }
  return { type: 'fd', str: String(address.fd) };
}

/** Such arguments for a shell. */
export function shellWords(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}

/** `<disk>` elements of a libvirt domain. */
export function libvirtXml(disks: readonly AttachedDisk[]): string {
  return disks
    .map(({ disk, address, tls }) => {
      const source = `<source protocol='nbd' name='${escapedXml(disk)}'${tls ? " tls='yes'" : ''}>`;
      return [
        "<disk type='network' device='disk'>",
        "  <driver name='qemu' type='raw' discard='unmap'/>",
        `  ${source}`,
        `    ${libvirtHost(address)}`,
        `    <reconnect delay='${RECONNECT_SECONDS}'/>`,
        '  </source>',
        `  <target dev='${escapedXml(disk)}' bus='virtio'/>`,
        '</disk>',
      ].join('\n');
    })
    .join('\n');
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
};

export function escapedXml(text: string): string {
  return text.replace(/[&<>'"]/g, (sign) => ENTITIES[sign]!);
}
