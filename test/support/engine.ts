import { join } from 'node:path';
import { openEngine, type SecretSource } from '../../src/engine/base/engine.ts';
import { createBackup } from '../../src/engine/points/backups.ts';
import { makeSet } from '../../src/engine/points/sets.ts';
import { makeStore } from '../../src/engine/points/stores.ts';
import { recover } from '../../src/engine/sessions/run-session.ts';
import type { MadePoint } from '../../src/operations/nouns/backup.ts';
import { rememberApart } from './box-state.ts';

rememberApart();

const PASSPHRASE = Buffer.from('correct horse');

/** As a client that has the passphrase of `engineIn`'s set. */
export const KEY: SecretSource = async () => ({ kind: 'passphrase', passphrase: PASSPHRASE });

export interface EngineHome {
  /** Its directory. */
  readonly store: string;
  open(): ReturnType<typeof openEngine>;
  /** A recovery point of `machine`, of one disk `vda`. */
  backUp(machine: string, image: string): Promise<MadePoint>;
  /** The ID of a session of a recovery point; it has run, and was stopped. */
  stoppedSession(point: string): Promise<string>;
}

const work = () => ({ secrets: KEY, signal: new AbortController().signal, report() {} });

export async function backUp(
  { open }: Pick<EngineHome, 'open'>,
  machine: string,
  image: string,
): Promise<MadePoint> {
  await using engine = await open();
  const disks = [{ name: 'vda', where: image }];
  return createBackup(
    engine,
    { set: 'nightly', machine, disks, format: undefined, changed: undefined },
    { ...work(), isSecret: () => false },
  );
}

/** A store on the real file system with an encrypted set `nightly`, made by the engine in this process. */
export async function engineIn(directory: string): Promise<EngineHome> {
  const store = join(directory, 'store');
  await makeStore(store);
  const open = () => openEngine(store);
  {
    await using engine = await open();
    await makeSet(engine, 'nightly', PASSPHRASE);
  }
  return {
    ...{ store, open },
    backUp: (machine, image) => backUp({ open }, machine, image),
    async stoppedSession(point) {
      await using engine = await open();
      const what = { kind: 'point', point, whenFull: 'pause' } as const;
      const reached = { listen: undefined, tls: undefined, nfs: undefined };
      await using running = await recover(engine, { what, ...reached }, work());
      return running.ready.session;
    },
  };
}
