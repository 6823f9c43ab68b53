import type { PlacedDisk, Placement } from '../../formats/store/sessions/placement.ts';
import type { Look } from '../../hypervisors/base/run-driver.ts';
import type { Seen } from './placed-state.ts';

/** In a word, what the hypervisor says of the machine of a session with these disks. */
export function seenOf(look: Look, session: string, disks: readonly PlacedDisk[]): Seen {
  if (!look.isThere) return 'gone';
  const places = Object.values(look.disks);
  const usesOurs = places.includes('ours');
  // A disk that was taken out of the machine has not moved: what was written to it is here alone.
  const isMoved = !usesOurs && disks.every(({ name }) => look.disks[name] !== undefined);
  if (look.session !== session) return isMoved ? 'settled' : 'foreign';
  if (isMoved) return 'moved';
  return usesOurs && places.includes('target') ? 'partly' : 'ours';
}

/** The disks as the hypervisor says that they are. */
export function placedDisks(look: Look, disks: readonly PlacedDisk[]): readonly PlacedDisk[] {
  if (!look.isThere) return disks;
  return disks.map((disk) => {
    const place = look.disks[disk.name];
    return { ...disk, place, pivoted: disk.pivoted || place === 'target' };
  });
}

/** When the machine was first seen to run, and its guest's agent to answer, with what is seen now. */
export function firstSeen(
  { firstOn, firstHeartbeat }: Placement,
  look: Look,
  now: Date,
): Pick<Placement, 'firstOn' | 'firstHeartbeat'> {
  const time = now.toISOString();
  const isOn = look.isThere && look.power === 'on';
  return {
    firstOn: firstOn ?? (isOn ? time : undefined),
    firstHeartbeat: firstHeartbeat ?? (isOn && look.heartbeat ? time : undefined),
  };
}
