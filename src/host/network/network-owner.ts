import type { FileSystem } from '../../sys/files/file-system.ts';
import type { RunProgram } from '../base/programs.ts';

/*
 * Finds out what configures the network of this host. Two programs that both do so interfere, and the administrator
 * suffers: so Holdfast does only where systemd-networkd, and no other program, does.
 */
export interface Owners {
  /** Why the network cannot be changed here at all; undefined: it can. */
  readonly refusal: string | undefined;
  /** Interfaces that ifupdown configures. */
  readonly ifupdown: ReadonlySet<string>;
}

const INTERFACES_FILE = '/etc/network/interfaces';
const INTERFACES_DIRECTORY = '/etc/network/interfaces.d';
const FILE_LENGTH_MAX = 1024 * 1024;

export async function readOwners(files: FileSystem, run: RunProgram): Promise<Owners> {
  const ifupdown = await readIfupdown(files);
  if (await isActive(run, 'NetworkManager.service')) {
    return { ifupdown, refusal: 'NetworkManager configures the network of this host: use nmcli' };
  }
  if (await isActive(run, 'systemd-networkd.service')) return { ifupdown, refusal: undefined };
  const other =
    ifupdown.size > 0 ? ` (${INTERFACES_FILE} does, for ${[...ifupdown].join(', ')})` : '';
  return {
    ifupdown,
    refusal:
      `systemd-networkd does not configure the network of this host${other}. To hand it over, take the ` +
      'interfaces out of their present configuration, then: systemctl enable --now systemd-networkd',
  };
}

/** Why an interface cannot be changed; undefined: it can. */
export function refusalOf({ refusal, ifupdown }: Owners, name: string): string | undefined {
  if (refusal !== undefined) return refusal;
  if (!ifupdown.has(name)) return undefined;
  return `${name} is configured in ${INTERFACES_FILE}: remove it there, then: systemctl restart networking`;
}

export async function isActive(run: RunProgram, unit: string): Promise<boolean> {
  return (await run('systemctl', ['is-active', '--quiet', unit])).code === 0;
}

/** interfaces(5): `iface NAME inet ...`. */
async function readIfupdown(files: FileSystem): Promise<ReadonlySet<string>> {
  const inDirectory = (await files.stat(INTERFACES_DIRECTORY))
    ? await files.list(INTERFACES_DIRECTORY)
    : [];
  const paths = [INTERFACES_FILE, ...inDirectory.map((it) => `${INTERFACES_DIRECTORY}/${it}`)];
  const names = new Set<string>();
  for (const path of paths) {
    if ((await files.stat(path))?.kind !== 'file') continue;
    const text = Buffer.from(await files.readFile(path, FILE_LENGTH_MAX)).toString('utf8');
    for (const [, name] of text.matchAll(/^\s*iface\s+(\S+)/gm)) {
      if (name !== 'lo') names.add(name!);
    }
  }
  return names;
}
