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
import { crowd, type Member } from '../connection/connection-limits.ts';
import { arrivals } from '../connection/arrivals.ts';
import { entrance } from '../connection/accept-queue.ts';
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

/** Serves block devices over NBD. Whatever a peer sends ends at most its own connection. */
export interface NbdTarget extends AsyncDisposable {
  readonly address: Address;
  /** Of TCP. */
  readonly port: number | undefined;
  /** The device is lent; `name` is what clients ask for. */
  export(name: string, device: BlockDevice | WritableBlockDevice, options: ExportOptions): Export;
  /** Until `answer` whoever connects waits: no export is refused because it is not there yet, or not any more. */
  hold(): void;
  answer(): void;
  /** Clients that connect from now on are served with these; only where there were some from the start. */
  renew(credentials: TlsCredentials): void;
}

export interface ExportOptions {
  /** For people who list exports. */
  readonly description: string;
  readonly readOnly: boolean;
  /** The disk's; a guest that sees another size does not find its partitions. */
  readonly sectorSize?: number;
}

/** That all clients share, of however many servers. */
export interface NbdMemory {
  /** What they write, until it is written. */
  readonly writes: MemoryBudget;
  /** What they read, until they have taken it. */
  readonly reads: MemoryBudget;
}

export interface NbdTargetOptions {
  readonly clock: Clock;
  readonly listen: Address;
  /** There too: sockets that systemd has opened. */
  readonly others?: readonly Address[];
  /** Whether the only export needs no name; not where exports come and go, for then it is another one each time. */
  readonly hasDefault?: boolean;
  /** Whether the peer is served; left out: whoever can connect. */
  readonly admits?: (peer: Peer | undefined) => boolean;
  /** Whether a process of this machine is served at a unix socket; left out: of this user's and root's only. */
  readonly admitsProcess?: (peer: UnixPeer) => boolean;
  /** Whether a user of this machine is served over TCP; left out: all are. */
  readonly admitsUser?: (uid: number) => boolean;
  /** For what clients write, until it is written. */
  readonly memory: NbdMemory;
  readonly tls?:
    | { readonly mode: 'allow' | 'require'; readonly credentials: TlsCredentials }
    | undefined;
}

/** A peer that has not chosen an export by then is no client. */
const HANDSHAKE_MS = 30_000;
const FINISH_MS = 5000;
const RECEIVE_LENGTH = 256 * KiB;
/** What busy connections have under way; what is larger gets memory of its own. */
const SPARE_PAYLOADS = 16;
const PAYLOAD_MAX = MiB;

interface Served {
  readonly offer: Offer;
  readonly device: BlockDevice | WritableBlockDevice;
  readonly connections: Set<Connection>;
  /** Of clients that have left. */
  readonly past: Traffic;
}

/** What all connections use together. */
interface Shared {
  readonly awake: StayAwake;
  readonly slabs: SlabPool;
  /** For what is to be written: fresh memory for each request costs more, in garbage collections, than the write. */
  readonly payloads: BufferPool;
}

interface Connection extends Client {
  readonly stream: ByteStream;
  readonly transmission: Transmission;
}

export async function openNbdTarget(options: NbdTargetOptions): Promise<NbdTarget> {
  const served = new Map<string, Served>();
  const streams = new Set<ByteStream>();
  /** Those that have no export yet: until they have shown that they may, they take no room of those who have one. */
  const undecided = new Set<ByteStream>();
  const shaking = crowd({ yields: 'always' });
  const room = crowd({ yields: 'to-others' });
  const shared: Shared = {
    awake: stayAwake(options.clock),
    slabs: slabPool(),
    payloads: bufferPool(SPARE_PAYLOADS, PAYLOAD_MAX),
  };
  const door = entrance();
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
    const pass = (stream: ByteStream): void => door.pass(stream, accept);
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
      door.hold();
      for (const stream of undecided) stream.destroy();
    },
    answer: door.open,
    renew(credentials) {
      assert(tls, 'there is TLS');
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
      door.close();
      for (const { connections } of served.values())
        await Promise.all([...connections].map((it) => finish(options.clock, it)));
      for (const stream of streams) stream.destroy();
    },
  };
}

/** Lets in those of other machines too: what decides about them is their address, and TLS. */
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
    // Whoever does not take its answers has to do without.
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
