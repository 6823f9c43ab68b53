import type { BlockDevice, WritableBlockDevice } from '../../block/block-device.ts';
import { isWritable } from '../../block/block-device.ts';
import { assert } from '../../lib/assert.ts';
import { type BufferPool, bufferPool } from '../../lib/buffer-pool.ts';
import type { MemoryBudget } from '../../lib/memory-budget.ts';
import { nbdUri } from '../../block/nbd-client/nbd-uri.ts';
import { KiB, MiB } from '../../lib/sizes.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { socketOwners } from '../../sys/net/socket-owner.ts';
import type { UnixPeer } from '../../sys/net/unix-peer.ts';
import {
  type Address,
  type ByteStream,
  listen,
  type Listener,
  type Peer,
  type TlsCredentials,
} from '../../sys/net/network.ts';
import { reachableAddress } from '../../sys/net/this-host.ts';
import { connectionLimits, type Member } from '../connection/connection-limits.ts';
import { arrivals } from '../connection/arrivals.ts';
import { acceptQueue } from '../connection/accept-queue.ts';
import type { Export } from '../connection/export.ts';
import {
  addTraffic,
  type Client,
  noTraffic,
  sumOfTraffic,
  type Traffic,
} from '../connection/traffic.ts';
import { handshake, type Offer } from './handshake.ts';
import { type SlabPool, slabPool } from '../connection/reply-queue.ts';
import { type StayAwake, stayAwake } from '../connection/busy-poll.ts';
import { type Transmission, transmission, type TransmissionOptions } from './transmission.ts';

/** Serves block devices over NBD. Input of a peer can end only its own connection. */
export interface NbdTarget extends AsyncDisposable {
  readonly address: Address;
  /** The TCP port. */
  readonly port: number | undefined;
  /** The device is lent; `name` is what clients ask for. */
  export(name: string, device: BlockDevice | WritableBlockDevice, options: ExportOptions): Export;
  /** Until `answer` new clients wait: no export is refused because it is not there yet, or no longer there. */
  hold(): void;
  answer(): void;
  /** Serves later clients with these credentials; only if there were some from the start. */
  renew(credentials: TlsCredentials): void;
}

export interface ExportOptions {
  /** For people who list exports. */
  readonly description: string;
  readonly readOnly: boolean;
  /** The disk's; a guest that sees another size does not find its partitions. */
  readonly sectorSize?: number;
}

/** Memory that all clients of all servers share. */
export interface NbdMemory {
  /** Memory for writes, until they are written. */
  readonly writes: MemoryBudget;
  /** Memory for reads, until the clients have read the replies. */
  readonly reads: MemoryBudget;
}

export interface NbdTargetOptions {
  readonly clock: Clock;
  readonly listen: Address;
  /** Further addresses: sockets that systemd has opened. */
  readonly others?: readonly Address[];
  /**
   * Whether clients may omit the name of a single export. Off where exports change: the empty name would then mean a
   * different disk each time.
   */
  readonly hasDefault?: boolean;
  /** Whether the peer is served; default: all that can connect. */
  readonly admits?: (peer: Peer | undefined) => boolean;
  /** Whether a process of this machine is served at a unix socket; default: only this user's and root's. */
  readonly admitsProcess?: (peer: UnixPeer) => boolean;
  /** Whether a user of this machine is served over TCP; default: all are. */
  readonly admitsUser?: (uid: number) => boolean;
  /** Memory for clients' requests. */
  readonly memory: NbdMemory;
  readonly tls?:
    | { readonly mode: 'allow' | 'require'; readonly credentials: TlsCredentials }
    | undefined;
}

/** A peer that has not chosen an export by then is not a client. */
const HANDSHAKE_MS = 30_000;
const FINISH_MS = 5000;
const RECEIVE_LENGTH = 256 * KiB;
/** As many payloads as busy connections have under way; larger ones get memory of their own. */
const SPARE_PAYLOADS = 16;
const PAYLOAD_MAX = MiB;

interface Served {
  readonly offer: Offer;
  readonly device: BlockDevice | WritableBlockDevice;
  readonly connections: Set<Connection>;
  /** Traffic of former clients. */
  readonly past: Traffic;
}

/** The resources of all connections. */
interface Shared {
  readonly awake: StayAwake;
  readonly slabs: SlabPool;
  /** For data to write: fresh memory for each request costs more, in garbage collections, than the write. */
  readonly payloads: BufferPool;
}

interface Connection extends Client {
  readonly stream: ByteStream;
  readonly transmission: Transmission;
}

export async function openNbdTarget(options: NbdTargetOptions): Promise<NbdTarget> {
  const served = new Map<string, Served>();
  const streams = new Set<ByteStream>();
  /** Connections without an export yet: until they are admitted, they take no room from those that have one. */
  const undecided = new Set<ByteStream>();
  const shaking = connectionLimits({ yields: 'always' });
  const room = connectionLimits({ yields: 'to-others' });
  const shared: Shared = {
    awake: stayAwake(options.clock),
    slabs: slabPool(),
    payloads: bufferPool(SPARE_PAYLOADS, PAYLOAD_MAX),
  };
  const accepting = acceptQueue();
  const { admits = () => true, admitsProcess, admitsUser, others = [] } = options;
  let { tls } = options;
  function accept(stream: ByteStream): void {
    let place = shaking.enter(stream);
    if (!place) return stream.destroy();
    streams.add(stream);
    undecided.add(stream);
    serve(stream, { ...options, tls, ...shared }, served, {
      enter() {
        undecided.delete(stream);
        place?.leave();
        return (place = room.enter(stream));
      },
      onClose() {
        place?.leave();
        undecided.delete(stream);
        streams.delete(stream);
        if (streams.size > 0) return;
        shared.slabs.clear();
        shared.payloads.clear();
      },
    });
  }
  await using stack = new AsyncDisposableStack();
  async function open(address: Address): Promise<Listener> {
    const ofProcesses = address.kind === 'unix' ? admitsProcess : undefined;
    const mayEnter = ({ peer, process }: ByteStream): boolean =>
      ofProcesses ? process !== undefined && ofProcesses(process) : admits(peer);
    const pass = (stream: ByteStream): void => accepting.pass(stream, accept);
    const known = admitsUser && address.kind !== 'unix' && localUsers(admitsUser, pass);
    const welcome = (stream: ByteStream): void =>
      mayEnter(stream) ? (known || pass)(stream) : stream.destroy();
    return stack.use(await listen(address, welcome, { forAllUsers: ofProcesses !== undefined }));
  }
  const listener = await open(options.listen);
  for (const address of others) await open(address);
  const listeners = stack.move();
  return {
    address: listener.address,
    port: listener.port,
    hold() {
      accepting.hold();
      for (const stream of undecided) stream.destroy();
    },
    answer: accepting.open,
    renew(credentials) {
      assert(tls, 'TLS is configured');
      tls = { ...tls, credentials };
    },
    export(name, device, { description, readOnly, sectorSize = 1 }) {
      const { size, blockSize } = device.geometry;
      const offer: Offer = {
        name,
        description,
        size,
        sectorSize,
        blockSize: Math.max(blockSize, sectorSize),
        readOnly: readOnly || !isWritable(device),
      };
      const entry: Served = { offer, device, connections: new Set(), past: noTraffic() };
      served.set(name, entry);
      return {
        name,
        uri: nbdUri(reachableAddress(listener.address), name, options.tls !== undefined),
        get clients() {
          return [...entry.connections];
        },
        get traffic() {
          return sumOfTraffic([entry.past, ...[...entry.connections].map((it) => it.traffic)]);
        },
        async [Symbol.asyncDispose]() {
          if (served.get(name) === entry) served.delete(name);
          await Promise.all([...entry.connections].map((it) => finish(options.clock, it)));
          if (isWritable(device)) await device.flush();
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await listeners.disposeAsync();
      accepting.close();
      for (const { connections } of served.values())
        await Promise.all([...connections].map((it) => finish(options.clock, it)));
      for (const stream of streams) stream.destroy();
    },
  };
}

/** Admits clients of other machines too: their address, and TLS, decide about them. */
function localUsers(
  admitsUser: (uid: number) => boolean,
  welcome: (stream: ByteStream) => void,
): (stream: ByteStream) => void {
  const knows = ({ user }: Peer): boolean => user === undefined || admitsUser(user);
  return arrivals(socketOwners(), { knows, welcome });
}

async function finish(clock: Clock, { stream, transmission }: Connection): Promise<void> {
  const sent = new AbortController();
  await Promise.race([
    transmission.stop(),
    // A client that does not read its replies loses them.
    clock.sleep(FINISH_MS, sent.signal).catch(() => {}),
  ]);
  sent.abort();
  stream.end();
}

interface ServeEvents {
  /** It has chosen an export; undefined: there is no room for it. */
  readonly enter: () => Member | undefined;
  readonly onClose: () => void;
}

function serve(
  stream: ByteStream,
  { clock, hasDefault = true, tls, awake, slabs, payloads, memory }: NbdTargetOptions & Shared,
  served: ReadonlyMap<string, Served>,
  { enter, onClose }: ServeEvents,
): void {
  const talk = handshake({
    offers: () => [...served.values()].map(({ offer }) => offer),
    hasDefault,
    tls: tls?.mode ?? 'none',
  });
  const over = new AbortController();
  let connection: Connection | undefined;
  let leave = (): void => {};
  stream.onClose = () => {
    over.abort();
    connection?.transmission.abandon();
    leave();
    onClose();
  };
  stream.onBytes = (bytes) => {
    const outcome = talk.push(bytes, (reply) => stream.write(reply));
    switch (outcome.kind) {
      case 'more':
        return;
      case 'close':
        stream.end();
        return;
      case 'tls':
        stream.secure(tls!.credentials).then(talk.secured, () => stream.destroy());
        return;
      case 'agreed': {
        over.abort();
        const place = enter();
        const { agreement, rest } = outcome;
        const entry = served.get(agreement.offer.name);
        if (!entry || !place) return stream.destroy();
        const traffic = noTraffic();
        const made: Connection = {
          ...{ stream, traffic, address: stream.peer?.address, since: clock.now() },
          transmission: begin(stream, awake, place, {
            ...{ device: entry.device, agreement, slabs, payloads, traffic },
            memory: memory.writes.join(),
            reads: memory.reads.join(),
          }),
        };
        connection = made;
        const { connections, past } = entry;
        connections.add(made);
        leave = () => {
          if (connections.delete(made)) addTraffic(past, traffic);
        };
        if (rest.length > 0) connection.transmission.push(rest);
      }
    }
  };
  clock.sleep(HANDSHAKE_MS, over.signal).then(
    () => stream.destroy(),
    () => {},
  );
  stream.write(talk.greeting);
  stream.start();
}

function begin(
  stream: ByteStream,
  awake: StayAwake,
  place: Member,
  what: Pick<
    TransmissionOptions,
    'device' | 'agreement' | 'slabs' | 'payloads' | 'traffic' | 'memory' | 'reads'
  >,
): Transmission {
  const requests = transmission({
    ...what,
    send: stream.write,
    pause: stream.pause,
    resume: stream.resume,
    close: stream.end,
  });
  stream.onBytes = (bytes) => {
    place.heard();
    requests.push(bytes);
    awake.arrived(requests.isIdle);
  };
  stream.receiveInto(new Uint8Array(RECEIVE_LENGTH));
  return requests;
}
