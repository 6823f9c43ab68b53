import { PROGRAMS } from '../../formats/wire/rpc.ts';
import { answerDatagrams } from '../../sys/net/datagrams.ts';
import { type Address, type ByteStream, listen, type Peer } from '../../sys/net/network.ts';
import { datagramCalls } from './datagram-calls.ts';
import { portmapProgram, type Registration } from './procedures/portmap-program.ts';
import type { Program } from './procedures/procedure.ts';

export interface NfsPorts {
  readonly nfs: number;
  readonly mount: number;
  readonly portmap: number;
}

export type NfsPlace =
  /** Port 0: any port. Programs may share a port. */
  | { readonly kind: 'ports'; readonly host: string; readonly ports: NfsPorts }
  /** Sockets on which systemd listens; each program has one port. */
  | ({ readonly kind: 'inherited' } & NfsSockets);

/** File descriptors. */
export interface NfsSockets {
  readonly nfs: readonly number[];
  readonly mount: readonly number[];
  readonly portmap: readonly number[];
  /** The datagram sockets of the port mapper. */
  readonly datagrams: readonly number[];
}

/** Disposing refuses new clients; connected clients stay. */
export interface NfsListening extends AsyncDisposable {
  readonly ports: NfsPorts;
}

export interface NfsListeningOptions {
  /** Takes new connections; `portmap` knows the ports of this place. */
  readonly welcome: (portmap: Program) => (stream: ByteStream) => void;
  /** Whether a datagram of this peer is answered. */
  readonly admits: (peer: Peer) => boolean;
}

/** Listens on all ports of a place, or on none. Rejects BUSY, DENIED. */
export async function listenForNfs(
  place: NfsPlace,
  { welcome, admits }: NfsListeningOptions,
): Promise<NfsListening> {
  await using stack = new AsyncDisposableStack();
  const registrations: Registration[] = [];
  const portmap = portmapProgram(() => registrations);
  const onStream = welcome(portmap);

  async function serve(address: Address): Promise<number> {
    const listener = stack.use(await listen(address, onStream));
    return listener.port ?? 0;
  }
  const ports = await (place.kind === 'ports' ? openPorts(place, serve) : adoptAll(place, serve));
  registrations.push(...registrationsOf(ports));
  const ask = datagramCalls(portmap);
  const sockets =
    place.kind === 'inherited'
      ? place.datagrams.map((fd) => ({ fd }))
      : [{ host: place.host, port: ports.portmap }];
  for (const socket of sockets) {
    stack.use(
      await answerDatagrams(socket, (bytes, peer) => (admits(peer) ? ask(bytes, peer) : undefined)),
    );
  }
  const owned = stack.move();
  return { ports, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

type Serve = (address: Address) => Promise<number>;

/** Programs that want the same port share it. */
async function openPorts(
  { host, ports: wanted }: NfsPlace & { readonly kind: 'ports' },
  serve: Serve,
): Promise<NfsPorts> {
  const opened = new Set<number>();
  async function open(port: number): Promise<number> {
    if (port !== 0 && opened.has(port)) return port;
    const bound = await serve({ kind: 'tcp', host, port });
    opened.add(bound);
    return bound;
  }
  const nfs = await open(wanted.nfs);
  const mount = await open(wanted.mount);
  return { nfs, mount, portmap: await open(wanted.portmap) };
}

/** A program without a socket of its own is served at that of NFS. */
async function adoptAll(sockets: NfsSockets, serve: Serve): Promise<NfsPorts> {
  async function adopt(descriptors: readonly number[]): Promise<number | undefined> {
    let port: number | undefined;
    for (const fd of descriptors) port = await serve({ kind: 'fd', fd });
    return port;
  }
  const nfs = (await adopt(sockets.nfs)) ?? 0;
  const mount = (await adopt(sockets.mount)) ?? nfs;
  return { nfs, mount, portmap: (await adopt(sockets.portmap)) ?? nfs };
}

function registrationsOf({ nfs, mount, portmap }: NfsPorts): Registration[] {
  const tcp = { transport: 'tcp' } as const;
  const of = ({ number: program, version }: { number: number; version: number }) => ({
    program,
    version,
  });
  return [
    { ...of(PROGRAMS.nfs), ...tcp, port: nfs },
    { ...of(PROGRAMS.locks), ...tcp, port: nfs },
    { ...of(PROGRAMS.mount), ...tcp, port: mount },
    { ...of(PROGRAMS.portmap), ...tcp, port: portmap },
    { ...of(PROGRAMS.portmap), transport: 'udp', port: portmap },
  ];
}
