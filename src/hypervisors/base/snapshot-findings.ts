import type { Finding } from './finding.ts';

/** What internal snapshots of a machine of QEMU mean for its backups. `remedy`: how its snapshots are removed. */
export function snapshotFindings(names: readonly string[], remedy: string): readonly Finding[] {
  if (names.length === 0) return [];
  const known = names.slice(0, 3).join(', ');
  return [
    {
      ...{ level: 'warning', code: 'snapshots', remedy },
      message:
        `it has internal snapshots (${known}), so changes are not tracked, and each backup reads all that is in ` +
        'use: with tracking, QEMU would end the running machine when it is reverted to one',
    },
  ];
}

/** Why no disk of such a machine is tracked; undefined: nothing stands against it. */
export function whyUntracked(snapshots: readonly string[]): string | undefined {
  if (snapshots.length === 0) return undefined;
  return (
    `the machine has internal snapshots (${snapshots.slice(0, 3).join(', ')}): with changes tracked, ` +
    'QEMU would end the running machine when it is reverted to one'
  );
}
