import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Hypervisor } from '../../src/hypervisors/base/hypervisor.ts';
import { openQmp } from '../../src/hypervisors/qmp/qmp.ts';
import { realWorld } from '../../src/sys/world.ts';
import type { Connecting, MadeMachine, SuiteOptions, TestHost } from '../hypervisors/rig.ts';
import { without } from './programs.ts';
import { haltingFirmware, type QmpMachine, qmpMachine } from './qmp-machine.ts';
import { type QmpWire, qmpWire } from './qmp-wire.ts';

/** Why there can be none; false: there can. */
export const qmpMissing = without('qemu-system-x86_64', 'qemu-img', 'qemu-io');

/** A socket shows neither credentials nor an identity, and a machine that is off has no socket. */
export const QMP_SUITE: SuiteOptions = {
  cannot: ['changeCredentials', 'changeIdentity'],
  knowsOff: false,
};

export interface QmpTestHost extends TestHost {
  /** Where the sockets of its machines are. */
  readonly run: string;
  /** A directory of the test's own. */
  readonly own: string;
  machine(made: MadeMachine & { readonly words?: readonly string[] }): Promise<QmpMachine>;
  connect(options?: Connecting & { readonly scratch?: string }): Promise<Hypervisor>;
}

/** Real machines of plain QEMU, without a guest. */
export function qmpTestHost(): QmpTestHost {
  // Short: a socket's path has at most 107 bytes.
  const directory = mkdtempSync(join(tmpdir(), 'hf-qmp-'));
  const [run, sockets, own] = ['run', 'nbd', 'own'].map((it) => join(directory, it)) as [
    string,
    string,
    string,
  ];
  for (const it of [run, sockets, own]) mkdirSync(it);
  writeFileSync(join(own, 'halt.rom'), haltingFirmware());
  writeFileSync(join(own, 'medium.iso'), Buffer.alloc(65_536));
  const machines: QmpMachine[] = [];
  const wires: QmpWire[] = [];
  const missing = async (): Promise<void> => {
    throw new Error('a socket has neither credentials nor an identity');
  };
  return {
    ...{ run, own },
    async connect({ owner = 'store1', onCall, scratch } = {}) {
      let at = run;
      if (onCall) {
        const wire = await qmpWire(run, join(directory, `w${wires.length}`), onCall);
        wires.push(wire);
        at = wire.directory;
      }
      const uri = { scheme: 'qemu+qmp', path: at } as const;
      const none = { account: undefined, host: undefined, port: undefined, socket: undefined };
      const target = { uri: { ...uri, ...none }, ssh: undefined };
      const options = { ...realWorld(), name: 'lab', owner, sockets, scratch, target };
      return openQmp(options, new AbortController().signal);
    },
    async machine({ name, disks, excluded = [], hasAgent = true, words = [] }) {
      const id = randomUUID();
      const images = join(directory, id);
      mkdirSync(images);
      const made = {
        ...{ id, name, run, sockets, own, hasAgent, excluded, words },
        directory: images,
      };
      const machine = await qmpMachine(made);
      machines.push(machine);
      for (const [disk, size] of Object.entries(disks)) await machine.addDisk(disk, size);
      await machine.start();
      return machine;
    },
    async setUp(isUp) {
      const away = `${run}.away`;
      if (isUp) return renameSync(away, run);
      renameSync(run, away);
      for (const machine of machines) await machine.stopServing();
    },
    changeCredentials: missing,
    changeIdentity: missing,
    async [Symbol.asyncDispose]() {
      for (const it of wires) await it[Symbol.asyncDispose]();
      for (const it of machines) await it.remove();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
