import { FormatError } from '../../formats/format-error.ts';
import {
  decodeHeader,
  encodePacket,
  KEEPALIVE,
  LIBVIRT_PROGRAMS,
  LIBVIRT_VERSION,
  PACKET_STATUS,
  PACKET_TYPES,
  packetCutter,
} from '../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS } from '../../formats/wire/libvirt-calls.ts';
import {
  decodeEvent,
  LIBVIRT_EVENTS,
  type LibvirtEvent,
  type LibvirtEventKind,
} from '../../formats/wire/libvirt-events.ts';
import { NOTHING } from '../../formats/wire/xdr-layouts.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { ticker } from '../../sys/base/ticker.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import type { HypervisorTarget } from '../base/target.ts';
import { type Calls, openCalls } from './calls.ts';
import { type LibvirtChannel, openChannel } from './channel.ts';
import { type LibvirtDriver, libvirtPlace } from './uri.ts';

/**
 * A connection to libvirt. Disposing refuses new calls, waits for those under way (5 seconds at most) and ends it. If
 * it ends otherwise, all calls reject with the reason; a new one has to be opened.
 */
export interface Link extends AsyncDisposable {
  /** See `Calls`. */
  readonly call: Calls['call'];
  /** See `Calls`. */
  readonly download: Calls['download'];
  /** See `Calls`. */
  readonly upload: Calls['upload'];
  /**
   * Calls `listener` for each event of that kind, of all machines, as long as the connection lasts or until the
   * returned function is called. What happened before it resolves may be missed.
   */
  listen<K extends LibvirtEventKind>(
    kind: K,
    listener: (event: Extract<LibvirtEvent, { kind: K }>) => void,
  ): Promise<() => void>;
  /** The address of the host, where that is known. */
  readonly peer: string | undefined;
  /** Never rejects: why it ended, once it has; undefined if it was disposed of. */
  readonly ended: Promise<HypervisorError | undefined>;
}

export interface LinkOptions {
  readonly clock: Clock;
  /** While it is opened; it has no effect on a connection that is open. */
  readonly signal: AbortSignal;
}

/** As libvirt's own clients do: five pings without any sign of life, and there is no one there. */
const PING_AFTER_MS = 5000;
const PINGS_MAX = 5;
/** How exactly calls time out. */
const LOOK_MS = 1000;
const OPEN_TIMEOUT_MS = 30_000;
const CLOSE_MS = 5000;

/** Rejects UNREACHABLE, DENIED, AUTH, IDENTITY, UNSUPPORTED, or with the signal's reason. */
export async function openLink(
  target: HypervisorTarget,
  { clock, signal }: LinkOptions,
): Promise<Link> {
  const place = libvirtPlace(target);
  signal.throwIfAborted();
  const link = linkOver(await openChannel(place, signal), clock);
  try {
    await introduce(link, place.driver, signal);
    return link;
  } catch (cause) {
    link.destroy();
    await link.ended;
    // How the connection ended says more than which call it cut off.
    throw cause instanceof HypervisorError && cause.cause instanceof HypervisorError
      ? cause.cause
      : cause;
  }
}

/** See libvirt.md, "A connection". */
async function introduce(link: Link, driver: LibvirtDriver, signal: AbortSignal): Promise<void> {
  const options = { timeoutMs: OPEN_TIMEOUT_MS };
  const ways = await link.call(LIBVIRT_CALLS.authList, undefined, signal, options);
  if (!ways.includes('none')) {
    if (!ways.includes('polkit')) {
      const advice =
        'set auth_unix_rw, or auth_tls for TLS, to "none" in /etc/libvirt/libvirtd.conf there';
      const message = `libvirt asks for a way to log in (${ways.join(', ')}) that Holdfast lacks`;
      throw new HypervisorError('UNSUPPORTED', `${message}; ${advice}`);
    }
    await link.call(LIBVIRT_CALLS.authPolkit, undefined, signal, options);
  }
  await link.call(LIBVIRT_CALLS.open, { uri: driver, flags: 0 }, signal, options);
}

interface EndableLink extends Link {
  /** Ends it at once. */
  destroy(): void;
}

function linkOver({ stream, peer, explain }: LibvirtChannel, clock: Clock): EndableLink {
  const { promise: ended, resolve: end } = Promise.withResolvers<HypervisorError | undefined>();
  const calls = openCalls((packet) => stream.write(packet));
  const events = eventListeners(calls);
  const life = keepalive(clock, (procedure) => stream.write(keepalivePacket(procedure)));
  let lookedAt = clock.monotonicMs();
  const looking = ticker(clock, () => {
    const now = clock.monotonicMs();
    // A process that was stopped has not waited for replies in that time.
    calls.onPassed(Math.min(now - lookedAt, 2 * LOOK_MS));
    lookedAt = now;
    if (life.look()) lose(new HypervisorError('UNREACHABLE', SILENT));
    return calls.isIdle() ? PING_AFTER_MS : LOOK_MS;
  });
  /** What we have found wrong ourselves, which counts for more than how the stream ended then. */
  let reason: HypervisorError | undefined;
  let isDisposed = false;

  function lose(why: HypervisorError): void {
    reason ??= why;
    stream.destroy();
  }
  function onPacket(packet: Uint8Array): void {
    const header = decodeHeader(packet);
    if (header.program === LIBVIRT_PROGRAMS.keepalive) return life.onPacket(header.procedure);
    if (header.type === PACKET_TYPES.reply) return calls.onReply(header, packet);
    if (header.type === PACKET_TYPES.stream) return calls.onStream(header, packet);
    const isEvent = header.type === PACKET_TYPES.message;
    if (!isEvent || header.program !== LIBVIRT_PROGRAMS.remote) return;
    const event = decodeEvent(header.procedure, packet);
    if (event) events.onEvent(event);
  }
  const cut = packetCutter(onPacket);
  stream.onBytes = (bytes) => {
    life.onBytes();
    if (reason) return;
    try {
      cut(bytes);
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      const message = `what answers does not speak as libvirt does: ${cause.message}`;
      lose(new HypervisorError('FAILED', message, { cause }));
    }
  };
  stream.onClose = (error) => {
    void (async () => {
      const why = reason ?? (await explain(error));
      calls.end(why);
      await looking[Symbol.asyncDispose]();
      end(isDisposed ? undefined : why);
    })();
  };
  stream.start();
  looking.start();
  return {
    ...{ ended, peer },
    call(procedure, args, until, options) {
      if (calls.isIdle()) looking.wake();
      return calls.call(procedure, args, until, options);
    },
    download(procedure, args, options) {
      if (calls.isIdle()) looking.wake();
      return calls.download(procedure, args, options);
    },
    upload(procedure, args, options) {
      if (calls.isIdle()) looking.wake();
      return calls.upload(procedure, args, options);
    },
    listen: events.listen,
    destroy: () => stream.destroy(),
    async [Symbol.asyncDispose]() {
      if (!isDisposed) {
        isDisposed = true;
        const goodbye = calls.drained().then(() => stream.end());
        const giveUp = new AbortController();
        const late = clock.sleep(CLOSE_MS, giveUp.signal).catch(() => {});
        await Promise.race([goodbye, ended, late]);
        giveUp.abort();
        stream.destroy();
      }
      await ended;
    },
  };
}

const SILENT = `libvirt has been silent for ${(PING_AFTER_MS * (PINGS_MAX + 1)) / 1000} seconds`;

/** Tells a connection that is quiet from one that is dead. Counts pings, not time: this process may have slept. */
function keepalive(clock: Clock, send: (procedure: number) => void) {
  let heardAt = clock.monotonicMs();
  let pings = 0;
  return {
    onBytes() {
      heardAt = clock.monotonicMs();
      pings = 0;
    },
    onPacket(procedure: number): void {
      if (procedure === KEEPALIVE.ping) send(KEEPALIVE.pong);
    },
    /** Whether the other side has gone. */
    look(): boolean {
      if (clock.monotonicMs() - heardAt < PING_AFTER_MS * (pings + 1)) return false;
      if (pings >= PINGS_MAX) return true;
      pings++;
      send(KEEPALIVE.ping);
      return false;
    },
  };
}

function keepalivePacket(procedure: number): Uint8Array {
  const about = { type: PACKET_TYPES.message, serial: 0, status: PACKET_STATUS.ok };
  const { keepalive: program } = LIBVIRT_PROGRAMS;
  return encodePacket(
    { program, version: LIBVIRT_VERSION, procedure, ...about },
    NOTHING,
    undefined,
  );
}

type Listener = (event: LibvirtEvent) => void;

/** One registration for each kind, which lasts as long as the connection. */
function eventListeners(calls: Calls) {
  const listeners = new Map<LibvirtEventKind, Set<Listener>>();
  const registered = new Map<LibvirtEventKind, Promise<number>>();

  const listen: Link['listen'] = async (kind, listener) => {
    let ask = registered.get(kind);
    if (!ask) {
      const request = { event: LIBVIRT_EVENTS[kind].id, domain: undefined };
      ask = calls.call(LIBVIRT_CALLS.registerEvent, request);
      registered.set(kind, ask);
      ask.catch(() => registered.delete(kind));
    }
    const all = listeners.get(kind) ?? new Set();
    listeners.set(kind, all);
    const heard: Listener = (event) => listener(event as Parameters<typeof listener>[0]);
    all.add(heard);
    try {
      await ask;
    } catch (cause) {
      all.delete(heard);
      throw cause;
    }
    return () => void all.delete(heard);
  };
  return {
    listen,
    onEvent(event: LibvirtEvent) {
      for (const listener of listeners.get(event.kind) ?? []) listener(event);
    },
  };
}
