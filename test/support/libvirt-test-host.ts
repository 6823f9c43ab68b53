import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Hypervisor } from '../../src/hypervisors/base/hypervisor.ts';
import type { Connecting, TestHost } from '../hypervisors/rig.ts';
import type { LibvirtHost } from './libvirt.ts';
import {
  excludedXml,
  type LibvirtTestMachine,
  libvirtTestMachine,
} from './libvirt-test-machine.ts';
import { savedDefinition, type SavedMachine } from './saved-machine.ts';

/** How a driver is connected; what a way without SSH cannot show is left out. */
export interface LibvirtWays {
  connect(host: LibvirtHost, options: Connecting): Promise<Hypervisor>;
  setUp?(isUp: boolean): Promise<void>;
  changeCredentials?(): Promise<void>;
  changeIdentity?(): Promise<void>;
}

/** A real host, as the conformance suite sees it. Its machines begin from `saved`, which saves their boot. */
export function libvirtTestHost(
  host: LibvirtHost,
  saved: SavedMachine,
  ways: LibvirtWays,
): TestHost {
  const machines: LibvirtTestMachine[] = [];
  const missing = (what: string) => async () => {
    throw new Error(`this way to libvirt does not ${what}`);
  };
  return {
    connect: (options = {}) => ways.connect(host, options),
    async machine({ name, disks, excluded = [], hasAgent = true }) {
      const id = randomUUID();
      const directory = join(host.directory, id);
      mkdirSync(directory);
      const definition = join(directory, 'definition.xml');
      writeFileSync(definition, savedDefinition(host, name, id));
      await host.virsh('define', definition);
      rmSync(definition);
      const machine = libvirtTestMachine(host, { id, directory, hasAgent, saved, name });
      machines.push(machine);
      const medium = join(host.directory, 'medium.iso');
      writeFileSync(medium, Buffer.alloc(65_536));
      for (const it of excluded) await machine.attachDefined(it, excludedXml(it, medium));
      for (const [disk, size] of Object.entries(disks)) await machine.addDisk(disk, size);
      await machine.start();
      return machine;
    },
    setUp: ways.setUp ?? missing('go away'),
    changeCredentials: ways.changeCredentials ?? missing('have credentials'),
    changeIdentity: ways.changeIdentity ?? missing('have an identity'),
    async [Symbol.asyncDispose]() {
      for (const machine of machines) await machine.remove();
    },
  };
}
