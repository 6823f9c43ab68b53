import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { noSecrets, openEngine, type SecretSource } from '../../../src/engine/base/engine.ts';
import { serveDisks } from '../../../src/engine/files/served-disks.ts';
import { recover } from '../../../src/engine/sessions/run-session.ts';
import { sessions } from '../../../src/engine/sessions/shown-sessions.ts';
import { decodeSession, encodeSession } from '../../../src/formats/store/sessions/session.ts';
import type { FileSystem } from '../../../src/sys/files/file-system.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';
import { expectDone, runCli, startCli } from '../../support/cli.ts';
import { engineIn } from '../../support/engine.ts';
import { makeRawDisk } from '../../support/images.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 8 * 2 ** 20, 50);
const { store, backUp, stoppedSession } = await engineIn(root);
await backUp('vm', image);
const session = await stoppedSession('vm@latest');

function writeSession(id: string, text: string): void {
  mkdirSync(join(store, 'sessions', id));
  writeFileSync(join(store, 'sessions', id, 'session.json'), text);
}

test('an unreadable session is reported beside the others', async () => {
  writeSession('broken', 'x');
  await using engine = await openEngine(store);
  const shown = await sessions(engine, () => undefined);
  deepEqual(
    shown.sessions.map((it) => it.session),
    [session],
  );
  equal(shown.damaged.length, 1);
  match(shown.damaged[0]!.reason, /sessions\/broken\/session\.json: /);
});

test('how a running session is attached is shown again, in lines that can be copied whole', async () => {
  writeFileSync(join(root, 'passphrase'), 'correct horse');
  const common = ['--store', store, '--passphrase-file', join(root, 'passphrase'), '--json'];
  await using again = await startCli(['recover', '--resume', session, ...common]);
  const show = () => expectDone(runCli(['session', 'show', session, ...common]));
  const { result } = await show();
  deepEqual(result['attach'], again.ready);
  const said = (await runCli(['session', 'show', session, '--store', store])).stdout;
  const { qemu, libvirt } = again.ready as unknown as Record<'qemu' | 'libvirt', string>;
  for (const line of [...qemu.split('\n'), ...libvirt.split('\n')]) ok(said.includes(line), line);
  await again.stop('SIGTERM');
  equal((await show()).result['attach'], null);
});

test('a session that is discarded while sessions are listed is left out', async () => {
  await using engine = await openEngine(store);
  writeSession('leaving', 'x');
  const { files } = engine.store;
  const left: FileSystem = {
    ...files,
    async readFile(path, limit) {
      if (path.includes('leaving')) throw new SystemError('NOT_FOUND', `${path} is gone`);
      return files.readFile(path, limit);
    },
  };
  const found = await sessions(
    { ...engine, store: { ...engine.store, files: left } },
    () => undefined,
  );
  deepEqual(
    found.sessions.map((it) => it.session),
    [session],
  );
  deepEqual(
    found.damaged.map(({ path }) => path),
    [join(store, 'sessions', 'broken')],
  );
});

test('files of a recovery point do not wait for the session that is broken', async () => {
  await using engine = await openEngine(store);
  const serve = (query: string) =>
    serveDisks(engine, query, { directory: root, secrets: noSecrets, onNotice: () => {} });
  // As far as anybody gets without its key.
  await rejects(serve('vm@latest'), { name: 'CatalogError', code: 'WRONG_KEY' });
  await rejects(serve('broken'), { name: 'SessionError', code: 'CORRUPT' });
  await rejects(serve(session), { name: 'SessionError', code: 'IMPOSSIBLE' });
  await rejects(serve('vm-000000'), { name: 'CatalogError', code: 'NOT_FOUND' });
});

test('the recovery point of a session is that of the record which this box knows', async () => {
  await using engine = await openEngine(store);
  const journal = join(store, 'sessions', session, 'session.json');
  const own = readFileSync(journal);
  const other = (await backUp('other', image)).point;
  writeFileSync(journal, encodeSession({ ...decodeSession(own), point: other }));
  let isAsked = false;
  const secrets: SecretSource = async () => {
    isAsked = true;
    // The attacker puts the right one back before the session is taken.
    writeFileSync(journal, own);
    return { kind: 'passphrase', passphrase: Buffer.from('correct horse') };
  };
  const request = { what: { kind: 'resume', session }, listen: undefined, tls: undefined } as const;
  const signal = new AbortController().signal;
  const resumed = recover(engine, { ...request, nfs: undefined }, { secrets, signal, report() {} });
  await rejects(resumed, { code: 'IMPOSSIBLE' });
  equal(isAsked, false, 'no key is asked for where the session is refused');
  writeFileSync(journal, own);
});
