import { inUri } from '../sys/net/networks.ts';
import type { NfsResult, ReadySession } from '../operations/nouns/session.ts';

/** `serving` says how the session ends. */
export function readyText(
  ready: ReadySession,
  serving = 'Ctrl-C stops it; it can be resumed.',
): string {
  const { session, point } = ready;
  return `Session ${session} of ${point} is running. ${serving}\n\n${attachText(ready)}`;
}

/** Lines are not wrapped: each is to be copied whole. */
export function attachText({ exports, qemu, libvirt, nfs }: ReadySession): string {
  return [
    ...exports.map(({ disk, uri }) => `  ${disk}  ${uri}`),
    '',
    'QEMU:',
    `  qemu-system-x86_64 -m 1024 -nographic ${qemu}`,
    '',
    'libvirt:',
    libvirt.replace(/^/gm, '  '),
    ...(nfs ? nfsText(nfs) : []),
  ].join('\n');
}

function nfsText({ host, ports, directory, snippets }: NfsResult): string[] {
  const { nfs, mount, portmap } = ports;
  const of: readonly [string, string][] = [
    ['Linux', snippets.linux],
    ['libvirt', snippets.libvirt],
    ['ESXi', snippets.esxi],
    ['Proxmox VE', snippets.proxmox],
    ['XCP-ng', snippets.xcpng],
    ['QEMU over NFS', snippets.qemu],
  ];
  return [
    '',
    `NFS: ${inUri(host)}:${directory} (ports: nfs ${nfs}, mount ${mount}, portmap ${portmap})`,
    ...of.flatMap(([name, text]) => ['', `${name}:`, text.replace(/^/gm, '  ')]),
  ];
}
