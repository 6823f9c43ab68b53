import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { certificateDirectory } from './certificates.ts';
import type { LibvirtHost } from './libvirt.ts';
import { program } from './programs.ts';
import { until } from './until.ts';

export interface LibvirtTls {
  /** As QEMU has it: an authority, what it vouches for of a server at 127.0.0.1, and of a client. */
  readonly certificates: string;
  /** Starts libvirtd again, with these lines in QEMU's settings besides those of any test. */
  set(...lines: readonly string[]): Promise<void>;
}

/** Lets a libvirtd listen for TLS at 127.0.0.1, port 16514, which must be free. */
export async function libvirtTls(host: LibvirtHost): Promise<LibvirtTls> {
  const certificates = join(host.directory, 'pki');
  await certificateDirectory(certificates, 'IP:127.0.0.1');
  // QEMU is another user.
  await program('chmod', '-R', 'a+rX', certificates);
  const settings = [
    'listen_tls = 1',
    'listen_addr = "127.0.0.1"',
    ...Object.entries({ key_file: 'server-key', cert_file: 'server-cert', ca_file: 'ca-cert' }).map(
      ([name, file]) => `${name} = "${certificates}/${file}.pem"`,
    ),
  ];
  const etc = (name: string): string => join(host.directory, 'etc', name);
  appendFileSync(etc('libvirtd.conf'), `${settings.join('\n')}\n`);
  const qemu = readFileSync(etc('qemu.conf'), 'utf8');
  const answers = (): Promise<boolean> =>
    host.virsh('uri').then(
      () => true,
      () => false,
    );
  return {
    certificates,
    async set(...lines) {
      writeFileSync(etc('qemu.conf'), `${qemu}${lines.join('\n')}\n`);
      const pid = readFileSync(join(host.directory, 'run', 'libvirtd.pid'), 'utf8').trim();
      const isThere = `while kill -0 ${pid} 2>/dev/null; do sleep 0.02; done`;
      const script = `kill ${pid}; ${isThere}; exec libvirtd --daemon --listen`;
      const [enter = '', ...args] = host.command('sh', '-c', script);
      await program(enter, ...args);
      await until('libvirtd answers', answers);
    },
  };
}
