import { fileOfKind, isLost, readMachine, readPointFile } from '../../catalog/point-files.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import type { PointFileKind } from '../../formats/store/catalog/machine.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { Store } from '../../store/directory/store.ts';
import type { SessionMachine } from './session-machine.ts';

/** What of it the store has lost is reported and left out: the disks can be run without it. */
export async function machineOf(
  store: Store,
  { set, point }: { readonly set: OpenSet; readonly point: PointRecord },
  onLost: (what: string) => void,
): Promise<SessionMachine> {
  async function found<T>(read: () => Promise<T | undefined>): Promise<T | undefined> {
    try {
      return await read();
    } catch (cause) {
      if (!isLost(cause)) throw cause;
      onLost(cause.message);
      return undefined;
    }
  }
  const contents = async (kind: PointFileKind): Promise<Uint8Array | undefined> => {
    const file = fileOfKind(point, kind);
    return file && (await found(() => readPointFile(store, set, point, file)));
  };
  return {
    machine: await found(() => readMachine(store, set, point)),
    variables: await contents('firmware-vars'),
    tpmState: await contents('tpm-state'),
  };
}
