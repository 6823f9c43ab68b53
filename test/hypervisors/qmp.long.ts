import { test } from 'tap';
import { QMP_SUITE, qmpMissing, qmpTestHost } from '../support/qmp-test-host.ts';
import { hypervisorConforms } from './conformance.ts';

const timeout = 14_400_000;

test('plain QEMU is as any hypervisor', { skip: qmpMissing, timeout }, async (t) => {
  const tests: Promise<unknown>[] = [];
  hypervisorConforms(
    (name, body) => tests.push(t.test(name, { timeout }, body)),
    async () => qmpTestHost(),
    QMP_SUITE,
  );
  await Promise.all(tests);
});
