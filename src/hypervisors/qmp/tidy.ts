import type { Tracking } from '../../formats/store/catalog/machine.ts';
import { socketOf } from './begin-backup.ts';
import { QMP } from './commands.ts';
import { disksOf } from './disks.ts';
import { endBackup, removeBitmaps } from './end-backup.ts';
import type { OpenMachine } from './machines.ts';
import { markOf, type QmpHost } from './qmp-host.ts';
import { thawLeft } from './quiet-guest.ts';
import { scratchPath } from './scratch.ts';

/** What earlier backups have left in a machine's QEMU is removed: by the mark in its name, and only that. */
export async function tidyMachine(
  host: QmpHost,
  machine: OpenMachine,
  { keep, signal }: { readonly keep: readonly Tracking[]; readonly signal: AbortSignal },
): Promise<readonly string[]> {
  const { link, uuid } = machine;
  const done: string[] = [];
  const thawed = await thawLeft(host, machine, signal);
  if (thawed !== undefined) done.push(thawed);
  const drives = await link.call(QMP.drives, undefined, signal);
  const disks = await disksOf(link, drives, signal);
  const ending = {
    socket: socketOf(host, uuid),
    scratch: disks.flatMap((it) => scratchPath(host, uuid, it) ?? []),
    ...{ signal, onNotice: (message: string) => void done.push(message) },
  };
  if (await endBackup(host, link, ending)) done.push('an unfinished backup was ended');
  const kept = new Set(keep.flatMap((it) => (it.kind === 'qemu' ? [it.bitmap] : [])));
  const isUnwanted = (name: string): boolean => name.startsWith(markOf(host)) && !kept.has(name);
  for (const name of await removeBitmaps(link, isUnwanted, signal)) {
    done.push(`the bitmap ${name} was removed, which no recovery point needs`);
  }
  return done;
}
