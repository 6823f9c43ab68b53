import { equal, match, ok, rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { parseHypervisorUri } from '../../../src/hypervisors/base/target.ts';
import type { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import { openQmp } from '../../../src/hypervisors/qmp/qmp.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { fakeAgent } from '../../support/fake-agent.ts';
import { fakeGuest } from '../../support/fake-guest.ts';
import { FAKE_UUID, fakeQmp } from '../../support/fake-qmp.ts';
import { noise } from '../../support/random.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { endless } from '../taking.ts';

const BYTES = noise(100_000, 4);
const FILE = {
  ...{ path: '/etc/web.conf', bytes: BYTES, overwrite: false },
  ...{ mode: 0o644, owner: { user: 0, group: 0 } },
};
const options = () => ({ nonce: 'n0nce', signal: endless(), onProgress() {} });

test('a file goes through the socket of the agent; without one that is named with the remedy', async () => {
  const directory = temporaryDirectory();
  await using _qemu = await fakeQmp(join(directory, 'web1.qmp'));
  const uri = parseHypervisorUri(`qemu+qmp://${directory}`)!;
  await using host = await openQmp(
    {
      ...realWorld(),
      ...{ name: 'lab', owner: 'abc', sockets: undefined, scratch: undefined },
      target: { uri, ssh: undefined, tls: undefined },
    },
    endless(),
  );
  const put = () => host.guests!.put(FAKE_UUID, FILE, options());
  await rejects(put(), (cause: HypervisorError) => {
    equal(cause.code, 'UNREACHABLE');
    match(
      cause.message,
      /with a channel for it \("-chardev .*\/web1\.qga,.*install qemu-guest-agent in/,
    );
    return true;
  });
  const guest = fakeGuest();
  await using _agent = await fakeAgent(join(directory, 'web1.qga'), { guest });
  equal((await put()).replaced, false);
  ok(guest.files.get('/etc/web.conf')!.bytes.equals(BYTES));
  equal(guest.open.size, 0);
  await rejects(put(), { code: 'EXISTS' });
  guest.directories.delete('/etc');
  await rejects(put(), { code: 'NOT_FOUND' });
});
