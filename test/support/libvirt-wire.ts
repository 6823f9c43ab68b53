import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import {
  decodeHeader,
  encodePacket,
  LIBVIRT_ERRORS,
  LIBVIRT_PROGRAMS,
  PACKET_STATUS,
  PACKET_TYPES,
  packetCutter,
} from '../../src/formats/wire/libvirt.ts';
import { LIBVIRT_CALLS } from '../../src/formats/wire/libvirt-calls.ts';
import { I32, optional, struct, text } from '../../src/formats/wire/xdr-layouts.ts';
import type { HypervisorErrorCode } from '../../src/hypervisors/base/hypervisor-error.ts';
import type { OnCall } from '../hypervisors/rig.ts';
import type { LibvirtHost } from './libvirt.ts';

/** Sockets between a driver and libvirtd, on which things go wrong. */
export interface LibvirtWire extends AsyncDisposable {
  /** A socket that leads to libvirtd. Each call through it is put before `onCall` first. */
  socket(onCall: OnCall | undefined): Promise<string>;
  /** False: all that is connected is cut, and nothing connects. */
  setUp(isUp: boolean): void;
}

/** What libvirt refuses a call with, so that it means that. */
const NUMBERS: Readonly<Partial<Record<HypervisorErrorCode, number>>> = {
  DENIED: LIBVIRT_ERRORS.operationDenied,
  NOT_FOUND: LIBVIRT_ERRORS.noDomain,
  BUSY: LIBVIRT_ERRORS.operationTimeout,
  UNSUPPORTED: LIBVIRT_ERRORS.operationUnsupported,
  LOST: LIBVIRT_ERRORS.checkpointInconsistent,
};
const FAILURE = struct({ code: I32, domain: I32, message: optional(text(100)) });
const NAMES = new Map(Object.values(LIBVIRT_CALLS).map(({ number, name }) => [number, name]));

export function libvirtWire(host: LibvirtHost): LibvirtWire {
  const connections = new Set<Socket>();
  const servers: ReturnType<typeof createServer>[] = [];
  let isUp = true;
  return {
    socket(onCall = () => undefined) {
      const path = join(host.directory, `wire${servers.length}`);
      let count = 0;
      const counted = (name: string) => onCall(name, ++count);
      const server = createServer((near) => {
        if (isUp) carry(near, createConnection(host.socket), { connections, onCall: counted });
        else near.destroy();
      });
      servers.push(server);
      return new Promise((resolve) => server.listen(path, () => resolve(path)));
    },
    setUp(value) {
      isUp = value;
      if (!isUp) for (const it of connections) it.destroy();
    },
    async [Symbol.asyncDispose]() {
      for (const it of connections) it.destroy();
      for (const it of servers) it.close();
    },
  };
}

interface Carrying {
  readonly connections: Set<Socket>;
  readonly onCall: (name: string) => ReturnType<OnCall>;
}

function carry(near: Socket, far: Socket, { connections, onCall }: Carrying): void {
  /** Calls that are carried out, and whose reply does not come. */
  const unanswered = new Set<number>();
  const cut = (): void => {
    for (const it of [near, far]) it.destroy();
  };
  for (const it of [near, far]) {
    connections.add(it);
    it.on('close', () => {
      connections.delete(it);
      cut();
    });
    it.on('error', cut);
  }
  let last: Promise<void> = Promise.resolve();
  near.on(
    'data',
    packetCutter((lent) => {
      const packet = Buffer.from(lent);
      last = last.then(() => forward(packet), cut);
    }),
  );
  async function forward(packet: Buffer): Promise<void> {
    const header = decodeHeader(packet);
    const { program, procedure, type, serial } = header;
    const isCall = type === PACKET_TYPES.call && program === LIBVIRT_PROGRAMS.remote;
    const mishap = isCall ? await onCall(NAMES.get(procedure) ?? String(procedure)) : undefined;
    if (mishap === 'cut-before' || mishap === 'UNREACHABLE') return cut();
    if (mishap === undefined || mishap === 'cut-after') {
      if (mishap !== undefined) unanswered.add(serial);
      far.write(packet);
      return;
    }
    const code = NUMBERS[mishap] ?? LIBVIRT_ERRORS.internal;
    const refused = { ...header, type: PACKET_TYPES.reply, status: PACKET_STATUS.error };
    near.write(encodePacket(refused, FAILURE, { code, domain: 0, message: `made up: ${mishap}` }));
  }
  far.on(
    'data',
    packetCutter((packet) => {
      const { type, serial } = decodeHeader(packet);
      if (type === PACKET_TYPES.reply && unanswered.has(serial)) cut();
      else near.write(Buffer.from(packet));
    }),
  );
}
