import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { rootNames, shown } from '../../../src/host/scripts/run-script.ts';
import { scriptUnit } from '../../../src/host/scripts/script-unit.ts';

const UNIT = {
  ...{ unit: 'holdfast-script-1.service', path: '/etc/holdfast/verify.d/db', seconds: 60 },
  ...{ sockets: '/run/holdfast-nbd/verify-1.ports/guest', environment: { HOLDFAST_SET: 'a b' } },
  root: {
    directories: ['backups', 'etc', 'home', 'my: "data"', 'proc', 'run', 'usr', 'var'],
    others: ['swap.img'],
  },
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

test('what is not a directory, or has a name that systemd would read otherwise, is hidden too', async () => {
  const args = scriptUnit(UNIT);
  for (const hidden of ['"/swap.img"', '"/my: \\"data\\""', '/dev/shm']) {
    ok(args.includes(`--property=InaccessiblePaths=${hidden}`), hidden);
  }
  ok(!args.some((it) => /TemporaryFileSystem=.*(swap|my)/.test(it)));
});

test('only directories of the root count as such, and links as nothing', async () => {
  const root: Record<string, 'directory' | 'file'> = { 'swap.img': 'file', etc: 'directory' };
  const names = await rootNames({
    list: async () => ['bin', 'etc', 'gone', 'swap.img'],
    links: async () => ['bin'],
    async stat(path) {
      const kind = root[path.slice(1)];
      return kind && { kind, size: 0, allocated: 0, fileSystem: 0, modifiedMs: 0 };
    },
  });
  deepEqual(names, { directories: ['etc'], others: ['swap.img'] });
});

test('the end of what a script prints is kept, in as many bytes as a proof has room for', async () => {
  equal(shown('one\n\n two \n'), ': one / two');
  equal(shown(' \n'), '');
  for (const line of ['x'.repeat(79), '"\\"\\', '\u0001', '\u00e4\ud83d\ude00']) {
    const text = shown(`${`${line}\n`.repeat(2000)}the reason`);
    ok(text.endsWith(' / the reason'), line);
    const bytes = Buffer.byteLength(JSON.stringify(text)) - 2;
    ok(bytes > 3000 && bytes < 3100, `${bytes} bytes of ${line}`);
  }
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
