import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import {
  decodeBody,
  decodeHeader,
  encodePacket,
  KEEPALIVE,
  LIBVIRT_ERRORS,
  LIBVIRT_PROGRAMS,
  PACKET_STATUS,
  PACKET_TYPES,
  packetCutter,
  type PacketHeader,
} from '../../src/formats/wire/libvirt.ts';
import { LIBVIRT_CALLS, type LibvirtProcedure } from '../../src/formats/wire/libvirt-calls.ts';
import { I32, NOTHING, optional, struct, text } from '../../src/formats/wire/xdr-layouts.ts';
import type { Hypervisor } from '../../src/hypervisors/base/hypervisor.ts';
import { parseHypervisorUri } from '../../src/hypervisors/base/target.ts';
import { openLibvirt } from '../../src/hypervisors/drivers/libvirt.ts';
import { type Link, openLink } from '../../src/hypervisors/libvirt/link.ts';
import type { Clock } from '../../src/sys/base/clock.ts';
import { realWorld } from '../../src/sys/world.ts';
import { fakeNbdServer, usual } from './fake-nbd-server.ts';
import { temporaryDirectory } from './temporary.ts';

/*
 * A libvirtd with one machine, for what a real one does only by bad luck: any call can hang, be refused, or have its
 * effect late. A test replaces the answer to a call by its name in LIBVIRT_CALLS.
 */

type Calls = typeof LIBVIRT_CALLS;
type CallName = keyof Calls;
type Arguments<N extends CallName> =
  Calls[N] extends LibvirtProcedure<infer A, unknown> ? A : never;

/** `usual` is what it does by default. A promise answers when it resolves; `refusal` refuses. */
type Answer<N extends CallName> = (args: Arguments<N>, usual: () => unknown) => unknown;

type AnyAnswer = (args: unknown, usual: () => unknown) => unknown;

export interface FakeLibvirtd extends AsyncDisposable {
  readonly answers: { [N in CallName]?: Answer<N> };
  /** Names of calls, in order. */
  readonly heard: CallName[];
  readonly machine: FakeMachine;
  connect(clock?: Clock): Promise<Hypervisor>;
  link(): Promise<Link>;
  /** Ends all connections. */
  cut(): void;
}

interface FakeMachine {
  readonly domain: { readonly name: string; readonly uuid: string; readonly id: number };
  state: 'running' | 'paused' | 'off' | 'suspended';
  /** Off, with its memory kept. */
  isSaved: boolean;
  agent: 'connected' | 'disconnected' | undefined;
  /** File systems that are frozen. */
  frozen: number;
  /** A freeze freezes that many. */
  fileSystems: number;
  /** Our mark, as XML. */
  mark: string | undefined;
  /** The backup that runs, as XML. */
  backup: string | undefined;
  readonly checkpoints: Set<string>;
  /** Targets of disks, as it runs, and as it is defined. */
  live: readonly string[];
  defined: readonly string[];
  /** How disks lie on the host: attributes of <disk>, and its <source>. */
  diskType: 'file' | 'network';
}

export function refusal(code: keyof typeof LIBVIRT_ERRORS, message = 'made up'): Refusal {
  return new Refusal(LIBVIRT_ERRORS[code], message);
}

class Refusal extends Error {
  readonly number: number;
  constructor(number: number, message: string) {
    super(message);
    this.number = number;
  }
}

function endless(): AbortSignal {
  return new AbortController().signal;
}

/** Never answered. */
export function never(): Promise<never> {
  return new Promise(() => {});
}

const DISK_SIZE = 1024 * 1024;
const NBD = { option: usual(DISK_SIZE) };
const FAILURE = struct({ code: I32, domain: I32, message: optional(text(1000)) });
const JOB = { elapsedMs: 0, remainingMs: 0 };
const DATA = { dataTotal: 0, dataProcessed: 0, dataRemaining: 0 };
const MEMORY = { memoryTotal: 0, memoryProcessed: 0, memoryRemaining: 0 };
const FILE = { fileTotal: 0, fileProcessed: 0, fileRemaining: 0 };

export async function fakeLibvirtd(): Promise<FakeLibvirtd> {
  const directory = temporaryDirectory();
  const path = join(directory, 'libvirt-sock');
  const uri = parseHypervisorUri(`qemu+unix:///system?socket=${path}`)!;
  const target = { uri, ssh: undefined };
  const sockets = new Set<Socket>();
  let serving: AsyncDisposable | undefined;
  const machine: FakeMachine = {
    domain: { name: 'web1', uuid: '5e1fc4ec-0000-4000-8000-000000000002', id: 1 },
    ...{ state: 'running', isSaved: false, agent: 'connected', frozen: 0, fileSystems: 2 },
    ...{ mark: undefined, backup: undefined, checkpoints: new Set() },
    ...{ live: ['vda'], defined: ['vda'], diskType: 'file' },
  };
  const usuals = usualAnswers(machine, async (socket) => {
    await serving?.[Symbol.asyncDispose]();
    serving = socket === undefined ? undefined : await fakeNbdServer(socket, NBD);
  });
  const it: FakeLibvirtd = {
    ...{ answers: {}, heard: [], machine },
    async connect(clock) {
      const options = { name: 'kvm1', owner: 'store1', sockets: directory, scratch: undefined };
      const world = { ...realWorld(), ...(clock && { clock }) };
      return openLibvirt({ ...world, ...options, target }, endless());
    },
    link: () => openLink(target, { clock: realWorld().clock, signal: endless() }),
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    async [Symbol.asyncDispose]() {
      it.cut();
      server.close();
      await serving?.[Symbol.asyncDispose]();
    },
  };

  async function answer(name: CallName, packet: Uint8Array): Promise<unknown> {
    const args: unknown = decodeBody(packet, LIBVIRT_CALLS[name].arguments as never);
    const refused: AnyAnswer = () => {
      throw refusal('noSupport', `this libvirtd has no ${name}`);
    };
    const asUsual = () => ((usuals[name] ?? refused) as AnyAnswer)(args, () => undefined);
    const own = it.answers[name] as AnyAnswer | undefined;
    return own ? own(args, asUsual) : asUsual();
  }
  async function onCall(socket: Socket, header: PacketHeader, packet: Buffer): Promise<void> {
    const found = Object.entries(LIBVIRT_CALLS).find(
      ([, { number, program }]) => number === header.procedure && program === header.program,
    );
    const name = found![0] as CallName;
    it.heard.push(name);
    const reply = { ...header, type: PACKET_TYPES.reply };
    try {
      const result = await answer(name, packet);
      const layout = LIBVIRT_CALLS[name].result;
      socket.write(encodePacket(reply, layout as never, result as never));
    } catch (cause) {
      if (!(cause instanceof Refusal)) throw cause;
      const body = { code: cause.number, domain: 0, message: cause.message };
      socket.write(encodePacket({ ...reply, status: PACKET_STATUS.error }, FAILURE, body));
    }
  }
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    const cut = packetCutter((lent) => {
      const packet = Buffer.from(lent);
      const header = decodeHeader(packet);
      if (header.program !== LIBVIRT_PROGRAMS.keepalive) void onCall(socket, header, packet);
      else if (header.procedure === KEEPALIVE.ping) {
        socket.write(encodePacket({ ...header, procedure: KEEPALIVE.pong }, NOTHING, undefined));
      }
    });
    socket.on('data', cut);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return it;
}

function usualAnswers(
  machine: FakeMachine,
  serve: (socket: string | undefined) => Promise<void>,
): FakeLibvirtd['answers'] {
  const { domain } = machine;
  const requireRunning = (): void => {
    if (machine.state !== 'running') throw refusal('operationInvalid', 'domain is not running');
  };
  const requireAgent = (): void => {
    requireRunning();
    if (machine.agent !== 'connected') throw refusal('agentUnresponsive', 'no guest agent');
  };
  return {
    authList: () => ['none'],
    open: () => undefined,
    version: () => 7_002_022,
    libVersion: () => 9_000_000,
    hostname: () => 'kvm1',
    listDomains: () => ({ domains: [domain], count: 1 }),
    domainByUuid: () => domain,
    domainState: () => ({ state: machine.state, reason: 0 }),
    domainXml: ({ flags }) =>
      domainXml(machine, (flags & 2) === 0 ? machine.live : machine.defined),
    autostart: () => 0,
    hasManagedSave: () => (machine.isSaved ? 1 : 0),
    diskInfo: () => ({ allocation: 0, capacity: DISK_SIZE, physical: 0 }),
    snapshots: () => ({ all: [], count: 0 }),
    jobInfo: () => ({
      ...{ type: machine.backup === undefined ? 'none' : 'unbounded', ...JOB },
      ...{ ...DATA, ...MEMORY, ...FILE },
    }),
    metadata() {
      if (machine.mark === undefined) throw refusal('noMetadata');
      return machine.mark;
    },
    setMetadata: ({ metadata }) => void (machine.mark = metadata),
    agentCommand() {
      requireAgent();
      return '{"return":{}}';
    },
    guestInfo: () => [],
    freeze() {
      requireAgent();
      return (machine.frozen = machine.fileSystems);
    },
    thaw() {
      requireAgent();
      const { frozen } = machine;
      machine.frozen = 0;
      return frozen;
    },
    checkpoints() {
      const all = [...machine.checkpoints].map((name) => ({ name, domain }));
      return { all, count: all.length };
    },
    checkpointByName({ name }) {
      if (!machine.checkpoints.has(name)) throw refusal('noCheckpoint');
      return { name, domain };
    },
    deleteCheckpoint: ({ named }) => void machine.checkpoints.delete(named.name),
    async beginBackup({ backup, checkpoint = '' }) {
      if (machine.backup !== undefined) throw refusal('operationInvalid', 'a backup runs');
      machine.backup = backup;
      const [, name] = /<name>(.*?)<\/name>/.exec(checkpoint) ?? [];
      if (name !== undefined) machine.checkpoints.add(name);
      await serve(/socket="(.*?)"/.exec(backup)?.[1]);
    },
    backupXml() {
      if (machine.backup === undefined) throw refusal('noBackup');
      return machine.backup;
    },
    async abortJob() {
      machine.backup = undefined;
      await serve(undefined);
    },
  };
}

function domainXml({ domain, agent, diskType }: FakeMachine, disks: readonly string[]): string {
  const source = (target: string): string =>
    diskType === 'file'
      ? `<source file="/images/${target}.qcow2" index="${disks.indexOf(target) + 1}"/>`
      : `<source protocol="rbd" name="pool/${target}"/>`;
  const disk = (target: string): string =>
    `<disk type="${diskType}" device="disk"><driver name="qemu" type="qcow2"/>${source(target)}` +
    `<target dev="${target}" bus="virtio"/></disk>`;
  const channel =
    agent === undefined
      ? ''
      : `<channel type="unix"><target type="virtio" name="org.qemu.guest_agent.0" state="${agent}"/></channel>`;
  return (
    `<domain type="kvm"><name>${domain.name}</name><uuid>${domain.uuid}</uuid><memory>1024</memory>` +
    `<os><type arch="x86_64" machine="q35">hvm</type></os>` +
    `<devices>${disks.map(disk).join('')}${channel}</devices></domain>`
  );
}
