import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseHypervisorUri } from '../../src/hypervisors/base/target.ts';
import { openLibvirt } from '../../src/hypervisors/drivers/libvirt.ts';
import { realWorld } from '../../src/sys/world.ts';
import type { SuiteOptions, TestHost } from '../hypervisors/rig.ts';
import type { LibvirtHost } from './libvirt.ts';
import {
  excludedXml,
  type LibvirtTestMachine,
  libvirtTestMachine,
} from './libvirt-test-machine.ts';
import { libvirtWire } from './libvirt-wire.ts';
import type { SavedMachine } from './saved-machine.ts';

/** A socket shows neither. */
export const CANNOT: SuiteOptions['cannot'] = ['changeCredentials', 'changeIdentity'];
const CONNECT_MS = 60_000;

/** A real host behind a socket, as the conformance suite sees it. Its machines begin from `saved`, not with a boot. */
export function libvirtTestHost(host: LibvirtHost, saved: SavedMachine): TestHost {
  const machines: LibvirtTestMachine[] = [];
  const wire = libvirtWire(host);
  const missing = async (): Promise<void> => {
    throw new Error('a socket has neither credentials nor an identity');
  };
  return {
    async connect({ owner = 'store1', onCall } = {}) {
      const uri = parseHypervisorUri(`qemu+unix:///system?socket=${await wire.socket(onCall)}`)!;
      const { sockets } = host;
      const options = { name: 'kvm1', owner, sockets, scratch: undefined };
      const target = { uri, ssh: undefined };
      return openLibvirt({ ...realWorld(), ...options, target }, AbortSignal.timeout(CONNECT_MS));
    },
    async machine({ name, disks, excluded = [], hasAgent = true, isOff = false }) {
      const id = randomUUID();
      const directory = join(host.directory, id);
      mkdirSync(directory);
      const machine = libvirtTestMachine(host, { id, directory, hasAgent, saved, name });
      machines.push(machine);
      const medium = join(host.directory, 'medium.iso');
      writeFileSync(medium, Buffer.alloc(65_536));
      const others = excluded.map((it) => [it, excludedXml(it, medium)] as const);
      await machine.define(Object.fromEntries(others), disks);
      if (!isOff) await machine.start();
      return machine;
    },
    async setUp(isUp) {
      wire.setUp(isUp);
      if (!isUp) for (const machine of machines) await machine.stopServing();
    },
    changeCredentials: missing,
    changeIdentity: missing,
    async [Symbol.asyncDispose]() {
      await wire[Symbol.asyncDispose]();
      for (const machine of machines) await machine.remove();
    },
  };
}
