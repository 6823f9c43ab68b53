import { ok } from 'node:assert/strict';
import { test } from 'tap';
import { scriptUnit } from '../../../src/host/scripts/script-unit.ts';

const UNIT = {
  ...{ unit: 'holdfast-script-1.service', path: '/etc/holdfast/verify.d/db', seconds: 60 },
  ...{ sockets: '/run/holdfast-nbd/verify-1.ports/guest', environment: { HOLDFAST_SET: 'a b' } },
  directories: ['backups', 'etc', 'home', 'proc', 'run', 'usr', 'var'],
  program: { node: '/opt/node', directory: '/opt/sandbox', name: 'sandbox-main.ts' },
};

test('a sandbox hides each directory of the root but programs, wherever a store may be', async () => {
  const args = scriptUnit(UNIT);
  for (const hidden of ['backups', 'etc', 'run', 'var']) {
    ok(args.includes(`--property=TemporaryFileSystem=/${hidden}:ro`), hidden);
  }
  ok(args.includes('--property=ProtectHome=tmpfs'));
  ok(!args.some((it) => /TemporaryFileSystem=\/(usr|proc)/.test(it)));
});

test('a sandbox has bounded memory, processes and time, and a network of its own', async () => {
  const args = scriptUnit(UNIT);
  for (const bound of ['MemoryMax=536870912', 'MemorySwapMax=0', 'TasksMax=128']) {
    ok(args.includes(`--property=${bound}`), bound);
  }
  ok(args.includes('--property=RuntimeMaxSec=60'));
  ok(args.includes('--property=PrivateNetwork=yes'));
  ok(args.includes('--setenv=HOLDFAST_SET=a b'));
});
