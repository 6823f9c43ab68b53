import { promises } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import { systemError } from './system-error.ts';

/** The machine's name, and its addresses that others may reach: neither loopback nor link-local. */
export function thisHost(): { readonly name: string; readonly addresses: readonly string[] } {
  const all = Object.values(networkInterfaces()).flatMap((of) => of ?? []);
  const reachable = all.filter(({ internal, address }) => !internal && !/^fe80:/i.test(address));
  return { name: hostname(), addresses: reachable.map(({ address }) => address) };
}

/** Of the file system that `path` is on. Free is what an unprivileged writer may still take. */
export async function spaceOf(
  path: string,
): Promise<{ readonly freeBytes: number; readonly totalBytes: number }> {
  try {
    const { bavail, blocks, bsize } = await promises.statfs(path);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  } catch (cause) {
    throw systemError(cause, `space of ${path}`);
  }
}
