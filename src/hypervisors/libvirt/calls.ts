import { FormatError } from '../../formats/format-error.ts';
import {
  decodeBody,
  decodeFailure,
  encodePacket,
  LIBVIRT_VERSION,
  PACKET_STATUS,
  PACKET_TYPES,
  type PacketHeader,
} from '../../formats/wire/libvirt.ts';
import type { LibvirtProcedure } from '../../formats/wire/libvirt-calls.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { LibvirtError } from './libvirt-error.ts';
import { openStreams, type Streams } from './streams.ts';

/* Calls of one connection: those under way, and those that wait for their turn. */

export interface CallOptions {
  /** The time until there must be a reply, waiting included; a minute by default: libvirt's own locks take 30 s. */
  readonly timeoutMs?: number | undefined;
  /** Goes before those that wait, and has a place of its own: to thaw a guest, to end a job. */
  readonly isUrgent?: boolean | undefined;
  /** A stream follows its reply, or begins right before it. */
  readonly streams?: Pick<Streams, 'expect' | 'forget'> | undefined;
  /** Called with its serial once libvirt has done it, before the next packet is looked at: also if no caller waits. */
  readonly onDone?: ((serial: number) => void) | undefined;
}

export interface Calls {
  /**
   * Rejects LibvirtError if libvirt refuses it, UNREACHABLE without a reply (whether it was carried out is not known
   * then), BUSY if too many wait, the signal's reason once that is aborted: the call itself goes on at libvirt, and
   * keeps its place until it ends there.
   */
  call<A, R>(
    procedure: LibvirtProcedure<A, R>,
    args: A,
    signal?: AbortSignal,
    options?: CallOptions,
  ): Promise<R>;
  /**
   * As `call`, and resolves with the bytes of the stream that follows its reply. Rejects FAILED if there are more than
   * `lengthMax`.
   */
  download<A>(
    procedure: LibvirtProcedure<A, undefined>,
    args: A,
    options: { readonly lengthMax: number; readonly signal?: AbortSignal | undefined },
  ): Promise<Uint8Array>;
  /** As `call`, and sends the stream of `bytes`, lent, that follows its reply. Resolves once libvirt has all. */
  upload<A>(
    procedure: LibvirtProcedure<A, undefined>,
    args: A,
    options: { readonly bytes: Uint8Array; readonly signal?: AbortSignal | undefined },
  ): Promise<void>;
  /** A packet of a stream. */
  readonly onStream: Streams['onPacket'];
  /** A reply; one to a call that does not exist is none of ours, and ignored. */
  onReply(header: PacketHeader, packet: Uint8Array): void;
  /** So much time has passed: rejects those whose time is over. */
  onPassed(ms: number): void;
  /** Whether no caller waits. */
  isIdle(): boolean;
  /** From now on no call is accepted. Resolves once no caller waits any longer. */
  drained(): Promise<void>;
  /** Rejects all, and all later ones. */
  end(reason: HypervisorError): void;
}

/**
 * libvirtd handles five calls of a client at once by default (max_client_requests) and stops reading when it has them,
 * even keepalive. So there is always room for one more than the urgent ones.
 */
const RUNNING_MAX = 3;
const URGENT_MAX = 4;
/** A question about each machine of the largest host, and some. */
const WAITING_MAX = 20_000;
const TIMEOUT_MS = 60_000;
const SERIAL_MAX = 0xffff_fff0;

interface Call {
  readonly name: string;
  leftMs: number;
  /** False once the caller has gone. */
  isAwaited: boolean;
  encode(serial: number): Uint8Array;
  onSent(serial: number): void;
  onPacket(header: PacketHeader, packet: Uint8Array): void;
  reject(reason: unknown): void;
}

export function openCalls(send: (packet: Uint8Array) => void): Calls {
  /** By serial; also those whose caller has gone, until libvirt replies. */
  const running = new Map<number, Call>();
  const urgent = new Set<Call>();
  const waiting = new Set<Call>();
  let serial = 0;
  let ended: HypervisorError | undefined;
  let isClosing = false;
  let onIdle = (): void => {};

  const isIdle = (): boolean =>
    urgent.size + waiting.size === 0 &&
    ![...running.values()].some((it) => it.isAwaited) &&
    streams.isIdle();
  const streams = openStreams(send, () => {
    if (isIdle()) onIdle();
  });

  function proceed(): void {
    for (const call of urgent) {
      if (running.size >= URGENT_MAX) return;
      begin(call);
    }
    for (const call of waiting) {
      if (running.size >= RUNNING_MAX) return;
      begin(call);
    }
    if (isIdle()) onIdle();
  }
  const leave = (call: Call): boolean => urgent.delete(call) || waiting.delete(call);
  function onGone(call: Call): void {
    leave(call);
    if (isIdle()) onIdle();
  }
  function begin(call: Call): void {
    leave(call);
    serial = serial >= SERIAL_MAX ? 1 : serial + 1;
    try {
      const packet = call.encode(serial);
      running.set(serial, call);
      call.onSent(serial);
      send(packet);
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause;
      const message = `libvirt cannot be asked "${call.name}": ${cause.message}`;
      call.reject(new HypervisorError('UNSUPPORTED', message, { cause }));
    }
  }
  function enter(call: Call, isUrgent: boolean): void {
    if (ended) return call.reject(ended);
    if (isClosing) return call.reject(new HypervisorError('FAILED', 'the connection is closed'));
    if (waiting.size >= WAITING_MAX && !isUrgent) {
      const message = `more than ${WAITING_MAX} questions to libvirt wait for an answer`;
      return call.reject(new HypervisorError('BUSY', message));
    }
    (isUrgent ? urgent : waiting).add(call);
    proceed();
  }
  function begun<A, R>(
    procedure: LibvirtProcedure<A, R>,
    args: A,
    signal?: AbortSignal,
    options: CallOptions = {},
  ): Promise<R> {
    const { promise, resolve, reject } = Promise.withResolvers<R>();
    const call = newCall({ procedure, args, signal, resolve, reject, onGone }, options);
    if (signal?.aborted === true) call.reject(signal.reason);
    else enter(call, options.isUrgent ?? false);
    return promise;
  }
  return {
    call: begun,
    download: downloader(begun, streams),
    upload: uploader(begun, streams),
    onStream: streams.onPacket,
    onReply(header, packet) {
      const call = running.get(header.serial);
      if (!call) return;
      running.delete(header.serial);
      call.onPacket(header, packet);
      proceed();
    },
    onPassed(ms) {
      streams.onPassed(ms);
      const waits = (it: Call): boolean => urgent.has(it) || waiting.has(it);
      for (const it of [...running.values(), ...urgent, ...waiting]) pass(it, ms, !waits(it));
    },
    isIdle,
    async drained() {
      isClosing = true;
      if (!isIdle()) await new Promise<void>((resolve) => (onIdle = resolve));
    },
    end(reason) {
      if (ended) return;
      ended = reason;
      for (const call of running.values()) call.reject(cutOff(call.name, reason));
      for (const call of [...urgent, ...waiting]) call.reject(reason);
      running.clear();
      streams.end(reason);
      onIdle();
    },
  };
}

function downloader(call: Calls['call'], streams: Streams): Calls['download'] {
  return async (procedure, args, { lengthMax, signal }) => {
    let received: Promise<Uint8Array> | undefined;
    await call(procedure, args, signal, {
      streams,
      onDone(serial) {
        received = streams.receive(procedure, serial, { lengthMax, signal });
        // If the caller has gone, it has ended already, and no one waits for it.
        received.catch(() => {});
      },
    });
    return received!;
  };
}

function uploader(call: Calls['call'], streams: Streams): Calls['upload'] {
  return async (procedure, args, { bytes, signal }) => {
    let sent: Promise<undefined> | undefined;
    await call(procedure, args, signal, {
      streams,
      onDone(serial) {
        sent = streams.send(procedure, serial, { bytes, signal });
        // As in a download.
        sent.catch(() => {});
      },
    });
    await sent;
  };
}

interface NewCall<A, R> {
  readonly procedure: LibvirtProcedure<A, R>;
  readonly args: A;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (result: R) => void;
  readonly reject: (reason: unknown) => void;
  /** Its caller no longer waits. */
  readonly onGone: (call: Call) => void;
}

function newCall<A, R>(
  { procedure, args, signal, resolve, reject, onGone }: NewCall<A, R>,
  { timeoutMs = TIMEOUT_MS, onDone, streams }: CallOptions,
): Call {
  const call: Call = {
    name: procedure.name,
    leftMs: timeoutMs,
    isAwaited: true,
    encode: (serial) => encodeCall(procedure, args, serial),
    onSent: (serial) => streams?.expect(serial),
    onPacket(header, packet) {
      signal?.removeEventListener('abort', onAbort);
      try {
        const result = resultOf(procedure, header, packet);
        onDone?.(header.serial);
        resolve(result);
      } catch (cause) {
        streams?.forget(header.serial);
        reject(cause);
      }
    },
    reject(reason) {
      signal?.removeEventListener('abort', onAbort);
      call.isAwaited = false;
      onGone(call);
      reject(reason);
    },
  };
  const onAbort = (): void => call.reject(signal!.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  return call;
}

function encodeCall<A, R>(
  { program, number, arguments: layout }: LibvirtProcedure<A, R>,
  args: A,
  serial: number,
): Uint8Array {
  const about = { type: PACKET_TYPES.call, serial, status: PACKET_STATUS.ok };
  return encodePacket(
    { program, version: LIBVIRT_VERSION, procedure: number, ...about },
    layout,
    args,
  );
}

function resultOf<A, R>(
  procedure: LibvirtProcedure<A, R>,
  { status }: PacketHeader,
  packet: Uint8Array,
): R {
  try {
    if (status === PACKET_STATUS.ok) return decodeBody(packet, procedure.result);
    throw new LibvirtError(decodeFailure(packet), procedure.name);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    const message = `the reply of libvirt to "${procedure.name}" cannot be read: ${cause.message}`;
    throw new HypervisorError('FAILED', message, { cause });
  }
}

function pass(call: Call, ms: number, isSent: boolean): void {
  call.leftMs -= ms;
  if (call.leftMs <= 0) call.reject(timedOut(call.name, isSent));
}

function timedOut(name: string, isSent: boolean): HypervisorError {
  const words = isSent ? `; whether it was done is not known` : ': other calls have not ended';
  const message = `libvirt did not reply to "${name}" in time${words}`;
  return new HypervisorError('UNREACHABLE', message);
}

function cutOff(name: string, reason: HypervisorError): HypervisorError {
  const { code, message, native } = reason;
  const words = `${message}; whether "${name}" was done is not known`;
  return new HypervisorError(code, words, { cause: reason, native });
}
