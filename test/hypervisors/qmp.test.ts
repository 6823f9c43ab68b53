import { test } from 'tap';
import { QMP_SUITE, qmpMissing, qmpTestHost } from '../support/qmp-test-host.ts';
import { backupsConform } from './backups.ts';
import { changesConform } from './changes.ts';
import { checksConform } from './checks.ts';
import { listsConform } from './lists.ts';

// Real QEMU processes. The rest of the suite takes too long for each commit: qmp.long.ts.

test('plain QEMU is as any hypervisor', { skip: qmpMissing, timeout: 600_000 }, async (t) => {
  const open = async () => qmpTestHost();
  const tests: Promise<unknown>[] = [];
  const each = (name: string, body: () => Promise<void>) => tests.push(t.test(name, body));
  listsConform(each, open, QMP_SUITE);
  checksConform(each, open, QMP_SUITE);
  backupsConform(each, open, QMP_SUITE);
  changesConform(each, open);
  await Promise.all(tests);
});
