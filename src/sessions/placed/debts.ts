import { join } from 'node:path/posix';
import { decodeDebt, encodeDebt, type PlacedDebt } from '../../formats/store/sessions/debt.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { RunDriver } from '../../hypervisors/base/run-driver.ts';
import type { Store } from '../../store/directory/store.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { isSessionId } from '../state/session-files.ts';

/*
 * A session that was given up while its hypervisor was away has left its machine there. The debt remembers that, and
 * is collected when the hypervisor is back.
 */

const DEBT_LENGTH_MAX = 64 * 1024;
const END = '.json';

const directoryOf = (store: Store): string => join(store.directory, 'debts');

/** Durable once resolved. */
export async function writeDebt(store: Store, debt: PlacedDebt): Promise<void> {
  const directory = directoryOf(store);
  await store.files.makeDirectory(directory);
  await store.files.syncDirectory(store.directory);
  await putDurably(store.files, join(directory, `${debt.session}${END}`), encodeDebt(debt));
}

/** Throws FormatError if one is damaged. */
export async function listDebts(store: Store): Promise<PlacedDebt[]> {
  const directory = directoryOf(store);
  if (!(await store.files.stat(directory))) return [];
  const debts: PlacedDebt[] = [];
  for (const name of await store.files.list(directory)) {
    if (!name.endsWith(END) || !isSessionId(name.slice(0, -END.length))) continue;
    debts.push(decodeDebt(await store.files.readFile(join(directory, name), DEBT_LENGTH_MAX)));
  }
  return debts;
}

export async function forgiveDebt(store: Store, session: string): Promise<void> {
  const directory = directoryOf(store);
  const path = join(directory, `${session}${END}`);
  if (await store.files.stat(path)) await store.files.unlink(path);
  await store.files.syncDirectory(directory);
}

/**
 * Removes from the hypervisor what carries the session's mark, except disks that have moved there. May be repeated.
 * Rejects HypervisorError; CONFLICT if the machine has begun to move, and a person has to decide.
 */
export async function collectDebt(
  driver: RunDriver,
  { session, machine, uuid, aside, hasMoved }: PlacedDebt,
  signal: AbortSignal,
): Promise<void> {
  const id = machine ?? (await driver.find(session, signal));
  const look = id === undefined ? undefined : await driver.look({ id, session }, signal);
  if (id !== undefined && look?.isThere && look.session === session) {
    const here = Object.keys(look.disks).filter((disk) => look.disks[disk] !== 'ours');
    if (here.length > 0) {
      const what = `machine ${look.name} has disks of the hypervisor itself (${here.join(', ')})`;
      throw new HypervisorError('CONFLICT', `${what}: remove it there, or its other disks`);
    }
    if (look.power !== 'off') await driver.stop({ id, session }, 'off', signal);
    await driver.unregister({ id, session }, signal);
  } else if (!look?.isThere) {
    await unlessForeign('CONFLICT', () => driver.unregister({ id: id ?? uuid, session }, signal));
  }
  await driver.hide(session, signal);
  if (aside !== undefined) {
    await unlessForeign('NOT_FOUND', () => driver.putBack(aside, session, signal));
  }
  if (!hasMoved) await driver.release(session, signal);
}

/** What it says with this code is another's, or gone: nothing of ours is left of it. */
async function unlessForeign(
  code: HypervisorError['code'],
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (!(cause instanceof HypervisorError) || cause.code !== code) throw cause;
  }
}
