import { FormatError } from '../../formats/format-error.ts';
import {
  decodeFailure,
  encodeStreamPacket,
  LIBVIRT_VERSION,
  PACKET_STATUS,
  PACKET_TYPES,
  type PacketHeader,
  streamBytes,
} from '../../formats/wire/libvirt.ts';
import type { LibvirtProcedure } from '../../formats/wire/libvirt-calls.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { LibvirtError } from './libvirt-error.ts';

/* What is sent after the reply to a call, in packets of that call's serial: libvirt.md, "Streams". */

export interface Streams {
  /**
   * From now on packets with that serial are kept: libvirtd's threads may send the first of a stream before the reply
   * to its call. Until `receive`, `send`, or `forget` if there is no stream.
   */
  expect(serial: number): void;
  forget(serial: number): void;
  /**
   * Begins to receive. To be called before the next packet is handled: with the reply. Resolves with all bytes; rejects
   * FAILED if there are more than `lengthMax`, LibvirtError, UNREACHABLE without a byte for a minute, or with the
   * signal's reason.
   */
  receive(
    { program, number, name }: Streamed,
    serial: number,
    { lengthMax, signal }: { readonly lengthMax: number; readonly signal: AbortSignal | undefined },
  ): Promise<Uint8Array>;
  /** Sends `bytes`, which are lent, and resolves once libvirt has written all; rejects as `receive` does. */
  send(
    { program, number, name }: Streamed,
    serial: number,
    { bytes, signal }: { readonly bytes: Uint8Array; readonly signal: AbortSignal | undefined },
  ): Promise<undefined>;
  /** One that belongs to no stream is ignored: we may have ended it while that was on its way. */
  onPacket(header: PacketHeader, packet: Uint8Array): void;
  onPassed(ms: number): void;
  isIdle(): boolean;
  end(reason: HypervisorError): void;
}

type Streamed = Pick<LibvirtProcedure<never, unknown>, 'program' | 'number' | 'name'>;

const SILENCE_MS = 60_000;
/** What libvirt itself puts into one packet. */
const PART_LENGTH = 256 * 1024;
/** The reply follows at once: what libvirtd has sent before it is a packet or two. */
const EARLY_MAX = 16;

interface EarlyPacket {
  readonly header: PacketHeader;
  readonly packet: Uint8Array;
}

interface Open {
  leftMs: number;
  onPacket(header: PacketHeader, packet: Uint8Array): void;
  fail(reason: unknown): void;
}

/** Our side of a stream, as the code that handles its packets uses it. */
interface Side<T> {
  tell(status: number, bytes?: Uint8Array): void;
  done(value: T): void;
  fail(reason: unknown): void;
}

interface Handling<T> {
  readonly signal: AbortSignal | undefined;
  /** Handles a packet with the status ok or continue. */
  onPacket(side: Side<T>, status: number, packet: Uint8Array): void;
  onOpen?(side: Side<T>): void;
}

export function openStreams(send: (packet: Uint8Array) => void, onIdle: () => void): Streams {
  const open = new Map<number, Open>();
  const early = earlyPackets();

  function handle<T>(
    { program, number, name }: Streamed,
    serial: number,
    { signal, onPacket, onOpen }: Handling<T>,
  ): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    function leave(): void {
      open.delete(serial);
      signal?.removeEventListener('abort', onAbort);
      onIdle();
    }
    const side: Side<T> = {
      tell(status, bytes = new Uint8Array(0)) {
        const about = { type: PACKET_TYPES.stream, serial, status };
        const header = { program, version: LIBVIRT_VERSION, procedure: number, ...about };
        send(encodeStreamPacket(header, bytes));
      },
      done(value) {
        leave();
        resolve(value);
      },
      fail(reason) {
        leave();
        reject(reason);
      },
    };
    const one: Open = {
      leftMs: SILENCE_MS,
      fail: side.fail,
      onPacket({ status }, packet) {
        one.leftMs = SILENCE_MS;
        if (status === PACKET_STATUS.error) side.fail(failureOf(name, packet));
        else onPacket(side, status, packet);
      },
    };
    const onAbort = (): void => {
      side.tell(PACKET_STATUS.error);
      side.fail(signal!.reason);
    };
    open.set(serial, one);
    const arrived = early.take(serial);
    if (signal?.aborted === true) {
      onAbort();
      return promise;
    }
    signal?.addEventListener('abort', onAbort, { once: true });
    onOpen?.(side);
    for (const it of arrived) open.get(serial)?.onPacket(it.header, it.packet);
    return promise;
  }
  return {
    expect: early.expect,
    forget: (serial) => void early.take(serial),
    send: (streamed, serial, { bytes, signal }) =>
      handle<undefined>(streamed, serial, {
        signal,
        onOpen({ tell }) {
          for (let at = 0; at < bytes.length; at += PART_LENGTH) {
            tell(PACKET_STATUS.continue, bytes.subarray(at, at + PART_LENGTH));
          }
          tell(PACKET_STATUS.ok);
        },
        onPacket(side, status) {
          if (status === PACKET_STATUS.ok) side.done(undefined);
        },
      }),
    receive(streamed, serial, { lengthMax, signal }) {
      const parts: Uint8Array[] = [];
      let length = 0;
      return handle<Uint8Array>(streamed, serial, {
        signal,
        onPacket(side, status, packet) {
          if (status === PACKET_STATUS.ok) return side.done(Buffer.concat(parts));
          const bytes = streamBytes(packet);
          if (bytes.length === 0) return side.tell(PACKET_STATUS.ok);
          length += bytes.length;
          if (length <= lengthMax) return void parts.push(Uint8Array.from(bytes));
          side.tell(PACKET_STATUS.error);
          const message = `"${streamed.name}" has more than ${lengthMax} bytes`;
          side.fail(new HypervisorError('FAILED', message));
        },
      });
    },
    onPacket(header, packet) {
      const one = open.get(header.serial);
      if (one) one.onPacket(header, packet);
      else early.keep(header, packet);
    },
    onPassed(ms) {
      for (const one of [...open.values()]) pass(one, ms);
    },
    isIdle: () => open.size === 0,
    end(reason) {
      for (const one of [...open.values()]) one.fail(reason);
    },
  };
}

function pass(one: Open, ms: number): void {
  one.leftMs -= ms;
  if (one.leftMs > 0) return;
  const message = `libvirt has sent nothing more for ${SILENCE_MS / 1000} seconds`;
  one.fail(new HypervisorError('UNREACHABLE', message));
}

/** Packets that came before their stream was known to be there. */
function earlyPackets() {
  const kept = new Map<number, EarlyPacket[]>();
  return {
    expect: (serial: number) => void kept.set(serial, []),
    keep(header: PacketHeader, packet: Uint8Array): void {
      const of = kept.get(header.serial);
      // One more than that is not kept, and the stream is too short then.
      if (of && of.length < EARLY_MAX) of.push({ header, packet: Uint8Array.from(packet) });
    },
    take(serial: number): readonly EarlyPacket[] {
      const of = kept.get(serial) ?? [];
      kept.delete(serial);
      return of;
    },
  };
}

function failureOf(name: string, packet: Uint8Array): HypervisorError {
  try {
    return new LibvirtError(decodeFailure(packet), name);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return new HypervisorError('FAILED', `libvirt ended "${name}" for an unreadable reason`, {
      cause,
    });
  }
}
