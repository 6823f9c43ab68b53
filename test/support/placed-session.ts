import type { Placement } from '../../src/formats/store/sessions/placement.ts';
import type { PlacedPhase, SessionRecord } from '../../src/formats/store/sessions/session.ts';

/** A session with a machine on hypervisor "kvm1", of which nothing is known there yet. */
export function placedRecord(
  phase: PlacedPhase,
  placement?: Partial<Placement>,
): SessionRecord & { readonly placement: Placement } {
  return {
    ...{ id: 'web1-aabbcc', created: '2026-11-30T00:00:00.000Z', set: 'nightly', point: 'p0' },
    ...{ machine: 'web1', disks: [], listen: 'unix:/x', tls: false, nfs: undefined },
    ...{ whenFull: 'pause', phase, keepAs: undefined, sealed: undefined },
    placement: {
      hypervisor: 'kvm1',
      plan: {
        ...{ name: 'web1', uuid: 'uuid-web1', networks: {} },
        ...{
          autostart: false,
          powerOn: true,
          replaces: undefined,
          moves: { kind: 'asked' },
          writes: 'here',
        },
      },
      ...{ pool: undefined, goal: 'run', stop: 'off', machine: undefined, aside: undefined },
      ...{ disks: [], offline: undefined, lostCopies: 0, waits: undefined, run: undefined },
      ...{ firstOn: undefined, firstHeartbeat: undefined, wasToMove: false },
      ...placement,
    },
  };
}
