import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import {
  decodeHeader,
  encodePacket,
  LIBVIRT_PROGRAMS,
  packetCutter,
  type PacketHeader,
} from '../../src/formats/wire/libvirt.ts';
import { LIBVIRT_CALLS as CALLS } from '../../src/formats/wire/libvirt-calls.ts';
import { type Layout, NOTHING } from '../../src/formats/wire/xdr-layouts.ts';
import { openLink } from '../../src/hypervisors/libvirt/link.ts';
import { type Clock, systemClock } from '../../src/sys/base/clock.ts';
import { temporaryDirectory } from './temporary.ts';

export interface LibvirtPeer extends AsyncDisposable {
  readonly path: string;
  /** All that came, in order. */
  readonly heard: (PacketHeader & { readonly packet: Buffer })[];
  /** What it does with calls besides those that open a connection; nothing at first. */
  onCall: (header: PacketHeader, packet: Buffer) => void;
  answerWays: readonly ('none' | 'sasl' | 'polkit')[];
  reply<R>(header: PacketHeader, layout: Layout<R>, body: R): void;
  send<T>(header: Partial<PacketHeader>, layout: Layout<T>, body: T): void;
  raw(bytes: Uint8Array): void;
  end(): void;
}

const directory = temporaryDirectory();
let peers = 0;

/** Speaks as libvirtd does, and does what a test says. */
export async function libvirtPeer(): Promise<LibvirtPeer> {
  const path = join(directory, `sock-${++peers}`);
  let socket: Socket | undefined;
  const it: LibvirtPeer = {
    ...{ path, heard: [], answerWays: ['none'] },
    onCall() {},
    reply: (header, layout, body) => it.send({ ...header, type: 1 }, layout, body),
    send(header, layout, body) {
      const all = {
        program: LIBVIRT_PROGRAMS.remote,
        version: 1,
        procedure: 0,
        type: 2,
        serial: 0,
      };
      socket?.write(encodePacket({ ...all, status: 0, ...header }, layout, body));
    },
    raw: (bytes) => void socket?.write(bytes),
    end: () => socket?.destroy(),
    async [Symbol.asyncDispose]() {
      socket?.destroy();
      server.close();
    },
  };
  const server = createServer((next) => {
    socket = next;
    const cut = packetCutter((bytes) => {
      const packet = Buffer.from(bytes);
      const header = decodeHeader(packet);
      it.heard.push({ ...header, packet });
      if (header.procedure === CALLS.authList.number) {
        return it.reply(header, CALLS.authList.result, it.answerWays);
      }
      const isOpening = [CALLS.open.number, CALLS.authPolkit.number].includes(header.procedure);
      if (isOpening && header.program === LIBVIRT_PROGRAMS.remote) {
        if (header.procedure === CALLS.open.number) return it.reply(header, NOTHING, undefined);
        return it.reply(header, CALLS.authPolkit.result, 1);
      }
      it.onCall(header, packet);
    });
    next.on('data', cut);
    next.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return it;
}

/** Our connection to it. */
export function openPeer(
  path: string,
  clock: Clock = systemClock(),
  signal = new AbortController().signal,
) {
  const uri = { scheme: 'qemu+unix', account: undefined, host: undefined, port: undefined };
  return openLink(
    { uri: { ...uri, path: '/system', socket: path }, ssh: undefined },
    { clock, signal },
  );
}
