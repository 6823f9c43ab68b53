import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LibvirtHost } from './libvirt.ts';
import { program, without } from './programs.ts';
import { until } from './until.ts';

/** Why there can be none; false: there can. */
export const libvirtSshdMissing = without('/usr/sbin/sshd', 'ssh', 'ssh-keygen', 'virt-ssh-helper');

/** An SSH server beside that libvirtd, on 127.0.0.1. `settings`: sshd_config(5). Goes with its host, if not earlier. */
export async function libvirtSshd(
  host: LibvirtHost,
  settings: Readonly<Record<string, string | number>>,
): Promise<AsyncDisposable> {
  mkdirSync(join(host.directory, 'run', 'sshd'), { recursive: true, mode: 0o755 });
  const pid = join(host.directory, 'sshd.pid');
  const all = { ListenAddress: '127.0.0.1', PidFile: pid, UsePAM: 'no', ...settings };
  const lines = Object.entries(all).map(([name, value]) => `${name} ${value}\n`);
  const config = join(host.directory, 'sshd_config');
  writeFileSync(config, lines.join(''));
  const [enter = '', ...args] = host.command('/usr/sbin/sshd', '-D', '-e', '-f', config);
  const child = spawn(enter, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'exit');
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said += text.toString()));
  await until(
    'sshd listens',
    () => said.includes('Server listening'),
    () => said,
  );
  return {
    async [Symbol.asyncDispose]() {
      // A signal would end nsenter alone.
      const [into = '', ...words] = host.command('kill', readFileSync(pid, 'utf8').trim());
      await program(into, ...words);
      await ended;
    },
  };
}
