import { FormatError } from '../../formats/format-error.ts';
import {
  decodeFailure,
  encodePacket,
  LIBVIRT_VERSION,
  PACKET_STATUS,
  PACKET_TYPES,
  type PacketHeader,
  streamBytes,
} from '../../formats/wire/libvirt.ts';
import type { LibvirtProcedure } from '../../formats/wire/libvirt-calls.ts';
import { NOTHING } from '../../formats/wire/xdr-layouts.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { LibvirtError } from './libvirt-error.ts';

/* What libvirt sends after the reply to a call, in packets of that call's serial: libvirt.md, "Streams". */

export interface Streams {
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
  /** One that belongs to no stream is ignored: we may have ended it while that was on its way. */
  onPacket(header: PacketHeader, packet: Uint8Array): void;
  onPassed(ms: number): void;
  isIdle(): boolean;
  end(reason: HypervisorError): void;
}

type Streamed = Pick<LibvirtProcedure<never, unknown>, 'program' | 'number' | 'name'>;

interface Receiving {
  leftMs: number;
  onPacket(header: PacketHeader, packet: Uint8Array): void;
  fail(reason: unknown): void;
}

const SILENCE_MS = 60_000;

export function openStreams(send: (packet: Uint8Array) => void, onIdle: () => void): Streams {
  const open = new Map<number, Receiving>();

  return {
    receive({ program, number, name }, serial, { lengthMax, signal }) {
      const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
      const parts: Uint8Array[] = [];
      let length = 0;
      function tell(status: number): void {
        const about = { type: PACKET_TYPES.stream, serial, status };
        const header = { program, version: LIBVIRT_VERSION, procedure: number, ...about };
        send(encodePacket(header, NOTHING, undefined));
      }
      function leave(): void {
        open.delete(serial);
        signal?.removeEventListener('abort', onAbort);
        onIdle();
      }
      const one: Receiving = {
        leftMs: SILENCE_MS,
        fail(reason) {
          leave();
          reject(reason);
        },
        onPacket({ status }, packet) {
          one.leftMs = SILENCE_MS;
          if (status === PACKET_STATUS.error) return one.fail(failureOf(name, packet));
          if (status === PACKET_STATUS.ok) {
            leave();
            return resolve(Buffer.concat(parts));
          }
          const bytes = streamBytes(packet);
          if (bytes.length === 0) return tell(PACKET_STATUS.ok);
          length += bytes.length;
          if (length <= lengthMax) return void parts.push(Uint8Array.from(bytes));
          tell(PACKET_STATUS.error);
          const message = `"${name}" has more than ${lengthMax} bytes`;
          one.fail(new HypervisorError('FAILED', message));
        },
      };
      const onAbort = (): void => {
        tell(PACKET_STATUS.error);
        one.fail(signal!.reason);
      };
      open.set(serial, one);
      if (signal?.aborted === true) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
      return promise;
    },
    onPacket: (header, packet) => open.get(header.serial)?.onPacket(header, packet),
    onPassed(ms) {
      for (const one of [...open.values()]) {
        one.leftMs -= ms;
        if (one.leftMs > 0) continue;
        const message = `libvirt has sent nothing more for ${SILENCE_MS / 1000} seconds`;
        one.fail(new HypervisorError('UNREACHABLE', message));
      }
    },
    isIdle: () => open.size === 0,
    end(reason) {
      for (const one of [...open.values()]) one.fail(reason);
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
