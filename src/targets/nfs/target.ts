import { PROGRAMS } from '../../formats/wire/rpc.ts';
import { MiB } from '../../lib/sizes.ts';
import type { Clock } from '../../sys/clock.ts';
import { answerDatagrams } from '../../sys/datagrams.ts';
import { type ByteStream, listen, type Peer } from '../../sys/network.ts';
import type { Random } from '../../sys/random.ts';
import type { FileTree } from '../../tree/file-tree.ts';
import type { Export } from '../export.ts';
import { addTraffic, type Client, noTraffic, sumOfTraffic } from '../traffic.ts';
import { stayAwake } from '../stay-awake.ts';
import type { NfsAccess } from './access.ts';
import { type Connection, connection } from './connection.ts';
import { datagramCalls } from './datagram-calls.ts';
import { dispatcher } from './dispatch.ts';
import { EXPORT_PATH, nfsExports, type Served } from './exports.ts';
import { lockProgram } from './lock-program.ts';
import { mountProgram } from './mount-program.ts';
import { nfsProgram } from './nfs-program.ts';
import { recordMemory } from './records.ts';
import { portmapProgram, type Registration } from './portmap-program.ts';

/**
 * An NFS version 3 server (RFC 1813) with all that its clients ask for beside it: MOUNT, the port mapper, locks.
 * Whatever a peer sends ends at most its own connection.
 */
export interface NfsTarget extends AsyncDisposable {
  readonly ports: NfsPorts;
  /** Makes a tree visible as `/holdfast/NAME`. The tree is lent. TreeError EXISTS: a name or tag is taken. */
  export(name: string, tree: FileTree, options: NfsExportOptions): Export;
}

export interface NfsPorts {
  readonly nfs: number;
  readonly mount: number;
  readonly portmap: number;
}

export interface NfsExportOptions {
  readonly access: NfsAccess;
  /** 32 bits each, not zero; the same after a restart: file ids and handles are made of them. */
  readonly tag: number;
  readonly generation: number;
}

export interface NfsTargetOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly host: string;
  /** 0: any. One port may have several parts. */
  readonly ports: NfsPorts;
}

const CONNECTIONS_MAX = 256;
/** Answers and writes of all connections. */
const HELD_MAX = 128 * MiB;
const VERIFIER_LENGTH = 8;
const FINISH_MS = 5000;

export async function openNfsTarget(options: NfsTargetOptions): Promise<NfsTarget> {
  const { clock, random, host } = options;
  await using stack = new AsyncDisposableStack();
  const exports = nfsExports(() => clock.now().getTime());
  const connections = new Map<ByteStream, Connected>();
  /** Of clients that have left. */
  const past = noTraffic();
  const awake = stayAwake(clock);
  const memory = recordMemory();
  const registrations: Registration[] = [];
  const verifier = random.bytes(VERIFIER_LENGTH);
  const portmap = portmapProgram(() => registrations);
  const locks = lockProgram(exports);
  const programs = [nfsProgram({ exports, verifier }), mountProgram(exports), locks, portmap];
  const dispatch = dispatcher(programs);

  function hasRoom(length: number): boolean {
    let held = length;
    for (const it of connections.values()) held += it.connection.held();
    return held <= HELD_MAX;
  }
  function accept(stream: ByteStream): void {
    const { peer } = stream;
    // Strangers are not even listened to.
    if (!peer || connections.size >= CONNECTIONS_MAX || !exports.admits(anyPort(peer))) {
      stream.destroy();
      return;
    }
    const traffic = noTraffic();
    const made = connection({
      stream,
      memory,
      awake,
      hasRoom,
      answer: (record, how, open) => dispatch(record, { ...how, peer, traffic }, open),
    });
    const { address } = peer;
    connections.set(stream, { connection: made, address, since: clock.now(), traffic });
    stream.onClose = () => {
      made.abandon();
      if (connections.delete(stream)) addTraffic(past, traffic);
    };
  }
  async function serve(port: number): Promise<number> {
    const listener = stack.use(await listen({ kind: 'tcp', host, port }, accept));
    const { address } = listener;
    return address.kind === 'tcp' ? address.port : port;
  }

  const ports = await openPorts(options.ports, serve);
  const tcp = { transport: 'tcp' } as const;
  const of = ({ number: program, version }: { number: number; version: number }) => ({
    program,
    version,
  });
  registrations.push({ ...of(PROGRAMS.nfs), ...tcp, port: ports.nfs });
  registrations.push({ ...of(PROGRAMS.locks), ...tcp, port: ports.nfs });
  registrations.push({ ...of(PROGRAMS.mount), ...tcp, port: ports.mount });
  for (const transport of ['tcp', 'udp'] as const) {
    registrations.push({ ...of(PROGRAMS.portmap), transport, port: ports.portmap });
  }
  const ask = datagramCalls(portmap);
  stack.use(
    await answerDatagrams({ host, port: ports.portmap }, (bytes, peer) =>
      exports.admits(anyPort(peer)) ? ask(bytes, peer) : undefined,
    ),
  );

  async function finish(stream: ByteStream, it: Connection): Promise<void> {
    const over = new AbortController();
    await Promise.race([it.stop(), clock.sleep(FINISH_MS, over.signal).catch(() => {})]);
    over.abort();
    stream.end();
  }
  const owned = stack.move();
  return {
    ports,
    export(name, tree, { access, tag, generation }) {
      const served: Served = { name, tree, access, tag, generation };
      exports.add(served);
      return {
        name,
        uri: `nfs://${host}${EXPORT_PATH}/${name}`,
        get clients() {
          return [...connections.values()];
        },
        get traffic() {
          return sumOfTraffic([past, ...[...connections.values()].map((it) => it.traffic)]);
        },
        async [Symbol.asyncDispose]() {
          exports.remove(served);
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await owned.disposeAsync();
      await Promise.all([...connections].map(([stream, it]) => finish(stream, it.connection)));
    },
  };
}

/** Connections serve all exports of a target. */
interface Connected extends Client {
  readonly connection: Connection;
}

/** Whether a host is known at all has nothing to do with its port. */
function anyPort({ address }: Peer): Peer {
  return { address, port: 0 };
}

/** Parts that want the same port share it. */
async function openPorts(
  wanted: NfsPorts,
  serve: (port: number) => Promise<number>,
): Promise<NfsPorts> {
  const opened = new Map<number, number>();
  async function open(port: number): Promise<number> {
    const known = port === 0 ? undefined : opened.get(port);
    if (known !== undefined) return known;
    const bound = await serve(port);
    opened.set(bound, bound);
    return bound;
  }
  const nfs = await open(wanted.nfs);
  const mount = await open(wanted.mount);
  return { nfs, mount, portmap: await open(wanted.portmap) };
}
