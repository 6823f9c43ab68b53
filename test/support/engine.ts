import type { MadePoint } from '../../src/operations/backup.ts';
import { join } from 'node:path';
import { openHouse, type SecretSource } from '../../src/engine/base/engine.ts';
import { createBackup } from '../../src/engine/points/backups.ts';
import { makeSet } from '../../src/engine/points/sets.ts';
import { makeStore } from '../../src/engine/points/stores.ts';
import { rememberApart } from './box-state.ts';

rememberApart();

const PASSPHRASE = Buffer.from('correct horse');

/** As a client that has the passphrase of `engineIn`'s set. */
export const KEY: SecretSource = async () => ({ kind: 'passphrase', passphrase: PASSPHRASE });

export interface EngineHome {
  /** Its directory. */
  readonly store: string;
  open(): ReturnType<typeof openHouse>;
  /** A recovery point of `machine`, of one disk `vda`. */
  backUp(machine: string, image: string): Promise<MadePoint>;
}

/** A store on the real file system with an encrypted set `nightly`, made by the engine in this process. */
export async function engineIn(directory: string): Promise<EngineHome> {
  const store = join(directory, 'store');
  await makeStore(store);
  const open = () => openHouse(store);
  {
    await using house = await open();
    await makeSet(house, 'nightly', PASSPHRASE);
  }
  return {
    ...{ store, open },
    async backUp(machine, image) {
      await using house = await open();
      const disks = [{ name: 'vda', where: image }];
      return createBackup(
        house,
        { set: 'nightly', machine, disks, format: undefined, changed: undefined },
        {
          ...{ secrets: KEY, signal: new AbortController().signal },
          ...{ report() {}, isSecret: () => false },
        },
      );
    },
  };
}
