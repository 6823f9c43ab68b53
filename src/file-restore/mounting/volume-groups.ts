import type { ApplianceShell } from './appliance-shell.ts';
import { GranularError } from '../base/file-restore-error.ts';
import { safeName, type Volume } from '../volumes/volumes.ts';

/*
 * Two disks of a machine may have volume groups of the same name, or be copies of each other. LVM then activates
 * neither. Inside an appliance all writes go to overlays, so there the groups get new names, and copies new
 * identities.
 */

/** A physical volume under the appliance's name. */
export interface GroupMember {
  readonly volume: Volume;
  readonly device: string;
}

export interface SeparatedGroups {
  /** The disk on which a group begins, by the group's new name. */
  readonly disks: ReadonlyMap<string, string>;
  /** Members that LVM no longer sees, and why. */
  readonly failed: ReadonlyMap<Volume, string>;
}

/** Physical volumes with one group's metadata, each once: a copy of one of them begins another. */
interface Group {
  readonly name: string;
  readonly isCopy: boolean;
  readonly members: GroupMember[];
  readonly identities: Set<string>;
}

const NAME_LENGTH_MAX = 127;

/** The first group of a name keeps it; others are called `NAME.VOLUME`, after the first volume on which they lie. */
export async function separateGroups(
  shell: ApplianceShell,
  members: readonly GroupMember[],
): Promise<SeparatedGroups> {
  const disks = new Map<string, string>();
  const failed = new Map<Volume, string>();
  const uuids = members.map(({ volume }) => volume.uuid);
  const names = structs(await shell.ask(['vgs-full'])).map((it) => it.get('vg_name'));
  const isClear = (list: readonly unknown[]): boolean => new Set(list).size === list.length;
  if (isClear(uuids) && isClear(names)) return { disks, failed };

  const taken = new Set<string>();
  for (const group of await groupsOf(shell, members)) {
    const isTaken = taken.has(group.name);
    try {
      if (isTaken || group.isCopy) {
        const name = await renamed(shell, group);
        taken.add(name);
        disks.set(name, group.members[0]!.volume.disk);
      } else taken.add(group.name);
    } catch (cause) {
      if (!(cause instanceof GranularError) || cause.code !== 'FAILED') throw cause;
      const what = group.isCopy ? 'is a copy of another disk' : 'has a name that occurs twice';
      for (const { volume } of group.members) {
        failed.set(volume, `its volume group ${group.name} ${what}: ${cause.message}`);
      }
    }
  }
  const seen = members.filter(({ volume }) => !failed.has(volume));
  await (failed.size === 0 ? shell.ask(['lvm-clear-filter']) : onlySee(shell, seen));
  return { disks, failed };
}

async function groupsOf(shell: ApplianceShell, members: readonly GroupMember[]): Promise<Group[]> {
  const groups = new Map<string, Group[]>();
  for (const member of members) {
    await onlySee(shell, [member]);
    const [group] = structs(await shell.ask(['vgs-full']));
    const [physical] = structs(await shell.ask(['pvs-full']));
    const [name, key] = [group?.get('vg_name') ?? '', group?.get('vg_uuid') ?? ''];
    const identity = physical?.get('pv_uuid') ?? member.device;
    const copies = groups.get(key) ?? [];
    groups.set(key, copies);
    const place = copies.find(({ identities }) => !identities.has(identity));
    if (place) {
      place.members.push(member);
      place.identities.add(identity);
    } else {
      const identities = new Set([identity]);
      copies.push({ name, isCopy: copies.length > 0, members: [member], identities });
    }
  }
  return [...groups.values()].flat();
}

async function renamed(shell: ApplianceShell, { name, isCopy, members }: Group): Promise<string> {
  await onlySee(shell, members);
  if (isCopy) {
    await shell.ask(['vg-activate-all', 'false']);
    for (const { device } of members) await shell.ask(['pvchange-uuid', device]);
  }
  // Physical volumes without a group.
  if (name === '') return name;
  if (isCopy) await shell.ask(['vgchange-uuid', name]);
  const wanted = safeName(`${name}.${members[0]!.volume.name}`).slice(-NAME_LENGTH_MAX);
  await shell.ask(['vgrename', name, wanted]);
  return wanted;
}

async function onlySee(shell: ApplianceShell, members: readonly GroupMember[]): Promise<void> {
  await shell.ask(['lvm-set-filter', members.map(({ device }) => device).join(' ')]);
}

/** guestfish prints a list of structures as `[0] = {`, a line `  name: value` for each field, `}`. */
function structs(text: string): Map<string, string>[] {
  return text
    .split(/^\[\d+\] = \{$/m)
    .slice(1)
    .map(
      (part) => new Map([...part.matchAll(/^ {2}(\w+): (.*)$/gm)].map((it) => [it[1]!, it[2]!])),
    );
}
