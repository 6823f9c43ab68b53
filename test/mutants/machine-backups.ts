import type { Mutant } from './mutant.ts';

/* Over which point and disk a hypervisor's list of changes counts, and how long a moment has to last. */

const COUNTED = 'src/engine/hypervisors/counted-from.ts';
const BACKUP = 'src/engine/hypervisors/machine-backup.ts';
const COUNTED_TESTS = ['test/engine/hypervisors/counted-from.test.ts'];
const TESTS = ['test/engine/hypervisors/machine-backup.test.ts'];

export const machineBackups: readonly Mutant[] = [
  {
    name: 'machine backups: changes are never counted',
    file: COUNTED,
    text: '  return parent.tracking;',
    to: '  return undefined;',
    tests: [...COUNTED_TESTS, ...TESTS],
  },
  {
    name: 'machine backups: changes are counted over any point',
    file: COUNTED,
    text: "if (parent?.origin !== 'backup' || parent.tracking?.point !== parent.id) return undefined;",
    to: 'if (!parent) return undefined;',
    tests: COUNTED_TESTS,
  },
  {
    name: 'machine backups: changes count over a disk in another place',
    file: COUNTED,
    text: 'if (source === undefined || source === disk.where) return undefined;',
    to: 'if (source !== "") return undefined;',
    tests: [...COUNTED_TESTS, ...TESTS],
  },
  {
    name: 'machine backups: a moment that has ended in the middle is published',
    file: BACKUP,
    text: '          confirm: () => snapshot.confirm(),\n',
    to: '',
    tests: TESTS,
  },
  {
    name: 'machine backups: leftovers are removed beside another backup of the store',
    file: BACKUP,
    text: '  const notes = backupNotes(report, { hasList: true });\n',
    to: `  const notes = backupNotes(report, { hasList: true });
  for (const done of await host.backup.tidy(summary.id, [], signal)) tell(done);\n`,
    tests: TESTS,
  },
  {
    name: 'machine backups: an unconfirmed moment is published',
    file: 'src/ingest/backup/backup.ts',
    text: '      await confirm?.();\n',
    to: '',
    tests: ['test/ingest/backup/backup.test.ts'],
  },
];
