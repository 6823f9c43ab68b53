import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { LibvirtHost } from './libvirt.ts';
import { definitionOf } from './libvirt-machine.ts';

/** A machine whose guest is up, with an agent and no disk, saved: others begin from there, in a second. */
export interface SavedMachine {
  /** Starts a machine that is defined from there. It has no disk yet. */
  restore(name: string, uuid: string): Promise<void>;
}

const NAME = 'saved';
// src/qemu/qemu_saveimage.h: 16 bytes of magic, 19 numbers of 32 bits; a definition and a cookie, each ended by a zero.
const HEADER = 16 + 19 * 4;
const DATA_LENGTH_AT = 20;
const COOKIE_AT = 32;

export async function savedMachine(host: LibvirtHost): Promise<SavedMachine> {
  const machine = await host.define({ name: NAME, disks: [], isStill: true });
  await machine.start();
  await machine.report(/^STILL$/);
  const image = join(host.directory, 'saved.image');
  await host.virsh('save', NAME, image);
  await host.virsh('undefine', NAME);
  const file = openSync(image, 'r+');
  const header = Buffer.alloc(HEADER);
  readSync(file, header, 0, HEADER, 0);
  const data = Buffer.alloc(header.readUInt32LE(DATA_LENGTH_AT));
  readSync(file, data, 0, data.length, HEADER);
  closeSync(file);
  const cookieAt = header.readUInt32LE(COOKIE_AT);
  const definition = data.subarray(0, data.indexOf(0)).toString();
  const cookie = data.subarray(cookieAt, data.indexOf(0, cookieAt) + 1);
  return {
    // libvirt takes no other UUID for a saved machine; in its image it does not know the difference.
    async restore(name, uuid) {
      const changed = definition
        .replace(/<name>.*?<\/name>/, `<name>${name}</name>`)
        .replace(/<uuid>.*?<\/uuid>/, `<uuid>${uuid}</uuid>`)
        .replaceAll(join(host.directory, `${NAME}.`), join(host.directory, `${name}.`));
      const text = Buffer.from(`${changed}\0`);
      const rest = Buffer.alloc(data.length - text.length - cookie.length);
      header.writeUInt32LE(text.length, COOKIE_AT);
      const opened = openSync(image, 'r+');
      writeSync(opened, Buffer.concat([header, text, cookie, rest]), 0, HEADER + data.length, 0);
      closeSync(opened);
      await host.virsh('restore', image);
    },
  };
}

/** What such a machine is defined with. */
export function savedDefinition(host: LibvirtHost, name: string, uuid: string): string {
  return definitionOf(host.directory, { name, uuid, disks: [], isStill: true });
}
