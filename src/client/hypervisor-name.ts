import type { ShownHypervisor } from '../operations/nouns/hypervisor.ts';

const LENGTH_MAX = 48;

/** A name for the hypervisor at an address: its host, with a number if that is taken. */
export function hypervisorNameFor(uri: string, taken: readonly string[]): string {
  const host = /^[^/]*\/\/(?:[^@/]*@)?(\[[^\]]*\]|[^:/]*)/.exec(uri)?.[1] ?? '';
  const words = host.match(/[A-Za-z0-9][A-Za-z0-9._-]*/g) ?? [];
  const plain = words.join('-').slice(0, LENGTH_MAX) || 'local';
  for (let at = 1; ; at++) {
    const name = at === 1 ? plain : `${plain}-${at}`;
    if (!taken.includes(name)) return name;
  }
}

/** Why a new hypervisor cannot have the name; undefined: it can. Known before a person compares its host key. */
export function takenName(
  name: string,
  known: readonly Pick<ShownHypervisor, 'hypervisor' | 'uri'>[],
): string | undefined {
  const other = known.find(({ hypervisor }) => hypervisor === name);
  return other && `"${name}" is the hypervisor at ${other.uri}: choose another name`;
}
