import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expectDone } from './cli.ts';
import type { LibvirtHost } from './libvirt.ts';
import { program } from './programs.ts';
import type { ServiceHome } from './service.ts';

interface Traced {
  readonly host: LibvirtHost;
  readonly home: ServiceHome;
  /** The directory of the pool to move to. */
  readonly pool: string;
  /** Where the service has its sockets for QEMU. */
  readonly exports: string;
}

/** All that a session can leave on a libvirt host, and on the box that served it. */
export async function tracesOf({ host, home, pool, exports }: Traced): Promise<object> {
  const names = async (...words: readonly string[]): Promise<readonly string[]> =>
    (await host.virsh(...words)).split('\n').filter(Boolean).sort();
  const machines = await names('list', '--all', '--name');
  const checkpoints = machines.map((it) => names('checkpoint-list', it, '--name'));
  // libvirt leaves an empty element where a mark was.
  const definition = async (it: string): Promise<string> =>
    (await host.virsh('dumpxml', it, '--inactive')).replace(/ *<metadata\/>\n/, '');
  const files = (directory: string): readonly string[] =>
    existsSync(directory) ? readdirSync(directory).sort() : [];
  return {
    machines,
    checkpoints: await Promise.all(checkpoints),
    definitions: await Promise.all(machines.map(definition)),
    pools: await names('pool-list', '--all', '--name'),
    volumes: await names('vol-list', 'fast'),
    secrets: await names('secret-list'),
    networks: await names('net-list', '--all', '--name'),
    inPool: files(pool),
    defined: files(host.path('/etc/libvirt/qemu')),
    variables: files(host.path('/var/lib/libvirt/qemu/nvram')),
    onHost: files(host.directory).filter((it) => !/\.(console|reports|shell)$/.test(it)),
    sockets: [...files(exports), ...files(host.sockets)],
    connected: (await program('ss', '-xaH')).split('\n').filter((it) => it.includes(exports)),
    inStore: files(join(home.store, 'sessions')),
    sessions: (await expectDone(home.holdfast('session', 'list'))).result['sessions'],
    exports: (await expectDone(home.holdfast('export', 'list'))).result['exports'],
  };
}
