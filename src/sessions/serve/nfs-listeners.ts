import type { NfsPlace as SessionPlace } from '../../formats/store/sessions/session.ts';
import { turns } from '../../lib/mutex.ts';
import { addressFamily, isAnyAddress } from '../../sys/net/networks.ts';
import type { NfsListening, NfsPorts, NfsSockets } from '../../servers/nfs/listening.ts';
import type { NfsTarget } from '../../servers/nfs/server.ts';

/*
 * Listeners for the sessions of one process: those that use the same ports share them. A listener that was widened
 * stays so until no session uses it, so that the end of one session never disturbs others; access is decided by each
 * session's own rules anyway.
 */
export interface NfsDoors {
  /** Takes over systemd's sockets for the life of the process. Sessions on the same ports use them. */
  adopt(sockets: NfsSockets): Promise<NfsPorts>;
  enter(place: SessionPlace): Promise<NfsDoor>;
}

/** Disposing closes it, unless another session uses it. */
export interface NfsDoor extends AsyncDisposable {
  readonly host: string;
  readonly ports: NfsPorts;
}

interface Door {
  readonly ports: NfsPorts;
  users: number;
  readonly hosts: Map<string, NfsListening>;
}

export function nfsDoors(target: NfsTarget): NfsDoors {
  const inTurn = turns();
  const doors = new Set<Door>();
  let inherited: NfsPorts | undefined;

  async function open(door: Door, host: string): Promise<void> {
    const { ports } = door;
    door.hosts.set(host, await target.listen({ kind: 'ports', host, ports }));
  }
  async function close(door: Door, host: string): Promise<void> {
    await door.hosts.get(host)?.[Symbol.asyncDispose]();
    door.hosts.delete(host);
  }
  /** A single address and all addresses exclude each other: the kernel gives out a port once. */
  async function widen(door: Door, host: string): Promise<void> {
    const hosts = [...door.hosts.keys()];
    if (hosts.some((it) => covers(it, host))) return;
    const narrower = hosts.filter((it) => covers(host, it));
    for (const it of narrower) await close(door, it);
    try {
      await open(door, host);
    } catch (cause) {
      for (const it of narrower) await open(door, it);
      throw cause;
    }
  }
  async function doorAt({ host, ports }: SessionPlace): Promise<Door> {
    const there = [...doors].find((it) => isSame(it.ports, ports));
    if (there) {
      await widen(there, host);
      return there;
    }
    const listening = await target.listen({ kind: 'ports', host, ports });
    const door = { ports: listening.ports, users: 0, hosts: new Map([[host, listening]]) };
    doors.add(door);
    return door;
  }
  async function leave(door: Door): Promise<void> {
    if (--door.users > 0) return;
    doors.delete(door);
    for (const host of [...door.hosts.keys()]) await close(door, host);
  }
  return {
    async adopt(sockets) {
      const { ports } = await target.listen({ kind: 'inherited', ...sockets });
      return (inherited = ports);
    },
    enter: (place) =>
      inTurn(async () => {
        const { host } = place;
        if (inherited && isSame(inherited, place.ports)) {
          return { host, ports: inherited, async [Symbol.asyncDispose]() {} };
        }
        const door = await doorAt(place);
        door.users++;
        let left: Promise<void> | undefined;
        return {
          host,
          ports: door.ports,
          [Symbol.asyncDispose]: () => (left ??= inTurn(() => leave(door))),
        };
      }),
  };
}

/** Port 0 is never the same port. */
function isSame(a: NfsPorts, b: NfsPorts): boolean {
  return a.nfs === b.nfs && a.mount === b.mount && a.portmap === b.portmap;
}

/** `::` covers IPv4 too. */
function covers(host: string, other: string): boolean {
  if (host === other) return true;
  return isAnyAddress(host) && (addressFamily(host) === 6 || addressFamily(other) !== 6);
}
