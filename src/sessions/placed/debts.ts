import { join } from 'node:path/posix';
import { FormatError } from '../../formats/format-error.ts';
import { decodeDebt, encodeDebt, type PlacedDebt } from '../../formats/store/sessions/debt.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import type { Look, RunDriver } from '../../hypervisors/base/run-driver.ts';
import type { Store } from '../../store/directory/store.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { isSessionId, sessionDirectory } from '../state/session-files.ts';

/*
 * A session that was given up while its hypervisor was away has left its machine there. The debt remembers that, and
 * is collected when the hypervisor is back.
 */

const DEBT_LENGTH_MAX = 64 * 1024;
const END = '.json';

const LOST = 'debt.json';

/** What it would owe if its journal were lost: beside the journal, and gone with it. Durable once resolved. */
export async function writeLost(store: Store, debt: PlacedDebt): Promise<void> {
  await putDurably(
    store.files,
    join(sessionDirectory(store, debt.session), LOST),
    encodeDebt(debt),
  );
}

/** Undefined: there is none, or it is damaged too. */
export async function readLost(store: Store, session: string): Promise<PlacedDebt | undefined> {
  const path = join(sessionDirectory(store, session), LOST);
  try {
    if (!(await store.files.stat(path))) return undefined;
    const debt = decodeDebt(await store.files.readFile(path, DEBT_LENGTH_MAX));
    return debt.session === session ? debt : undefined;
  } catch (cause) {
    if (!(cause instanceof FormatError) && !(cause instanceof SystemError)) throw cause;
    return undefined;
  }
}

const directoryOf = (store: Store): string => join(store.directory, 'debts');

/** Durable once resolved. */
export async function writeDebt(store: Store, debt: PlacedDebt): Promise<void> {
  const directory = directoryOf(store);
  await store.files.makeDirectory(directory);
  await store.files.syncDirectory(store.directory);
  await putDurably(store.files, join(directory, `${debt.session}${END}`), encodeDebt(debt));
}

/** `onDamaged`: called with the session of each that cannot be read, and why; the others are listed none the less. */
export async function listDebts(
  store: Store,
  onDamaged: (session: string, why: string) => void,
): Promise<PlacedDebt[]> {
  const directory = directoryOf(store);
  if (!(await store.files.stat(directory))) return [];
  const debts: PlacedDebt[] = [];
  for (const name of await store.files.list(directory)) {
    const session = name.slice(0, -END.length);
    if (!name.endsWith(END) || !isSessionId(session)) continue;
    const path = join(directory, name);
    try {
      debts.push(decodeDebt(await store.files.readFile(path, DEBT_LENGTH_MAX)));
    } catch (cause) {
      if (!(cause instanceof FormatError) && !(cause instanceof SystemError)) throw cause;
      onDamaged(session, `${path}: ${cause.message}`);
    }
  }
  return debts;
}

export async function forgiveDebt(store: Store, session: string): Promise<void> {
  const directory = directoryOf(store);
  if (!(await store.files.stat(directory))) return;
  const path = join(directory, `${session}${END}`);
  if (await store.files.stat(path)) await store.files.unlink(path);
  await store.files.syncDirectory(directory);
}

/**
 * Removes from the hypervisor what carries the session's mark. A machine all of whose disks are on the hypervisor
 * itself stays there, and is its own from then on: it may be the only copy of what its guest wrote. May be repeated.
 * Rejects HypervisorError; CONFLICT if only some of its disks have moved, and a person has to decide.
 */
export async function collectDebt(
  driver: RunDriver,
  { session, machine, uuid, aside, hasMoved }: PlacedDebt,
  signal: AbortSignal,
): Promise<void> {
  const id = machine ?? (await driver.find(session, signal));
  const placed = { id: id ?? uuid, session };
  const look: Look = id === undefined ? NOT_THERE : await driver.look(placed, signal);
  const found = foundOf(look, session);
  if (found === 'partly') throw partlyMoved(look);
  // Whether it starts with the host was for the session to say.
  if (look.isThere && found === 'whole') {
    await driver.settle(placed, { name: look.name, autostart: undefined }, signal);
  }
  if (look.isThere && found === 'ours') {
    if (look.power !== 'off') await driver.stop(placed, 'off', signal);
    await driver.unregister(placed, signal);
  } else if (found === 'gone') {
    await unlessForeign('CONFLICT', () => driver.unregister(placed, signal));
  }
  await driver.hide(session, signal);
  if (aside !== undefined) {
    // The place of the machine that was set aside is taken, here or on another host to which it went on.
    const isTaken = found === 'whole' || found === 'foreign' || (found === 'gone' && hasMoved);
    await unlessForeign('NOT_FOUND', () =>
      isTaken ? driver.leaveAside(aside, session, signal) : driver.putBack(aside, session, signal),
    );
  }
  // Where that is not known, only a machine on disks of the session shows that it has none of its own.
  if (!(hasMoved ?? found !== 'ours')) await driver.release(session, signal);
}

const NOT_THERE: Look = { isThere: false };

/** `whole`: nothing of it is ours any longer. `foreign`: it has no mark of the session, or no longer. */
function foundOf(look: Look, session: string): 'gone' | 'foreign' | 'ours' | 'partly' | 'whole' {
  if (!look.isThere) return 'gone';
  if (look.session !== session) return 'foreign';
  const places = Object.values(look.disks);
  const count = places.filter((place) => place !== 'ours').length;
  if (count === 0) return 'ours';
  return count === places.length ? 'whole' : 'partly';
}

function partlyMoved(look: Look): HypervisorError {
  const { name, disks } = look.isThere ? look : { name: '', disks: {} };
  const there = Object.entries(disks).flatMap(([disk, place]) => (place === 'ours' ? [] : [disk]));
  const what = `disks of machine ${name} (${there.join(', ')}) have moved to the hypervisor, the others have not`;
  const why = 'what its guest wrote to them is there and nowhere else';
  return new HypervisorError(
    'CONFLICT',
    `${what}: ${why}. Copy these disks there, and only then remove the machine`,
  );
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
