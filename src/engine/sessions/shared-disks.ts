import { type DiskServer, openDiskServer } from '../../sessions/serve/disk-server.ts';
import { LOOPBACK, parseNetworks } from '../../sys/net/networks.ts';
import { userMayOpenDisks } from '../base/access.ts';
import type { Engine } from '../base/engine.ts';
import { parseListenAddress } from '../base/listen-address.ts';
import { readTlsFiles, type TlsFiles } from '../secrets/tls-files.ts';

export interface SharedDisksPlace {
  /** Undefined: only on systemd's sockets. */
  readonly listen: string | undefined;
  /** Undefined: this host only. */
  readonly allow: readonly string[] | undefined;
  readonly tls: TlsFiles | undefined;
}

interface SharedDisksOptions {
  /** Sockets of systemd's. */
  readonly inherited: readonly number[];
  /** Called if clients will refuse the certificate. */
  readonly onDates: (problem: string) => void;
}

/**
 * The NBD server of all sessions, which answers no client before `answer`; undefined: there is none. Rejects INVALID
 * for invalid networks, and as listening rejects.
 */
export async function openSharedDisks(
  { store, guestMemory }: Pick<Engine, 'store' | 'guestMemory'>,
  { listen, allow = LOOPBACK, tls }: SharedDisksPlace,
  { inherited, onDates }: SharedDisksOptions,
): Promise<DiskServer | undefined> {
  const own = listen === undefined ? [] : [parseListenAddress(listen)];
  const all = [...inherited.map((fd) => ({ kind: 'fd', fd }) as const), ...own];
  if (all.length === 0) return undefined;
  return openDiskServer({
    ...{ clock: store.clock, listen: all, allow: parseNetworks(allow), memory: guestMemory },
    admitsUser: userMayOpenDisks,
    tls: tls && (await readTlsFiles(store, tls, onDates)),
  });
}

/** Reads the TLS files again, for clients that connect from now on. If it rejects, the former ones stay in use. */
export async function renewSharedDisks(
  { store, disks }: Pick<Engine, 'store' | 'disks'>,
  { tls }: SharedDisksPlace,
  { onDates }: Pick<SharedDisksOptions, 'onDates'>,
): Promise<void> {
  if (disks && tls) disks.renew(await readTlsFiles(store, tls, onDates));
}
