import type { ResultOf } from '../operations/operations.ts';

export type ShownKey = ResultOf<'hypervisor/identify'>['keys'][number];

/** As OpenSSH names the files of host keys. */
const FILES = ['ed25519', 'ecdsa', 'rsa'];

/** What a hypervisor shows, and the command that prints the same on the hypervisor itself, to compare the two. */
export function comparison({ type }: Pick<ShownKey, 'type'>): {
  readonly what: 'certificate' | 'host key';
  readonly command: string;
} {
  if (type === 'certificate') {
    const file = '/etc/pki/libvirt/servercert.pem';
    return {
      what: 'certificate',
      command: `openssl x509 -noout -fingerprint -sha256 -in ${file}`,
    };
  }
  const file = FILES.find((it) => type.includes(it)) ?? '*';
  return { what: 'host key', command: `ssh-keygen -lf /etc/ssh/ssh_host_${file}_key.pub` };
}
