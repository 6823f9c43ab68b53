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
export interface NfsListeners {
  /** Takes over systemd's sockets for the life of the process. Sessions on the same ports use them. */
  adopt(sockets: NfsSockets): Promise<NfsPorts>;
  enter(place: SessionPlace): Promise<NfsListener>;
}

/** Disposing closes it, unless another session uses it. */
export interface NfsListener extends AsyncDisposable {
  readonly host: string;
  readonly ports: NfsPorts;
}

interface Listener {
  readonly ports: NfsPorts;
  users: number;
  readonly hosts: Map<string, NfsListening>;
}

export function nfsListeners(target: NfsTarget): NfsListeners {
  const inTurn = turns();
  const listeners = new Set<Listener>();
  let inherited: NfsPorts | undefined;

  async function open(listener: Listener, host: string): Promise<void> {
    const { ports } = listener;
    listener.hosts.set(host, await target.listen({ kind: 'ports', host, ports }));
  }
  async function close(listener: Listener, host: string): Promise<void> {
    await listener.hosts.get(host)?.[Symbol.asyncDispose]();
    listener.hosts.delete(host);
  }
  /** A single address and all addresses exclude each other: the kernel gives out a port once. */
  async function widen(listener: Listener, host: string): Promise<void> {
    const hosts = [...listener.hosts.keys()];
    if (hosts.some((it) => covers(it, host))) return;
    const narrower = hosts.filter((it) => covers(host, it));
    for (const it of narrower) await close(listener, it);
    try {
      await open(listener, host);
    } catch (cause) {
      for (const it of narrower) await open(listener, it);
      throw cause;
    }
  }
  async function listenerAt({ host, ports }: SessionPlace): Promise<Listener> {
    const there = [...listeners].find((it) => isSame(it.ports, ports));
    if (there) {
      await widen(there, host);
      return there;
    }
    const listening = await target.listen({ kind: 'ports', host, ports });
    const listener = { ports: listening.ports, users: 0, hosts: new Map([[host, listening]]) };
    listeners.add(listener);
    return listener;
  }
  async function leave(listener: Listener): Promise<void> {
    if (--listener.users > 0) return;
    listeners.delete(listener);
    for (const host of [...listener.hosts.keys()]) await close(listener, host);
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
        const listener = await listenerAt(place);
        listener.users++;
        let left: Promise<void> | undefined;
        return {
          host,
          ports: listener.ports,
          [Symbol.asyncDispose]: () => (left ??= inTurn(() => leave(listener))),
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
