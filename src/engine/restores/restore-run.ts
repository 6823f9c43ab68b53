import type { HeldRestores } from '../../box/restore-records.ts';
import type { RestoreRecord } from '../../formats/store/service/restore.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import { unmetConditions } from '../../lib/unmet-conditions.ts';
import { uuidFrom } from '../../lib/uuid.ts';
import type { World } from '../../sys/world.ts';
import type { WorkOptions } from '../base/engine.ts';
import type { Hypervisors } from '../hypervisors/hypervisors.ts';
import { blockersIn, findingText } from '../run-plan/refusal.ts';
import { type Made, settleRestore } from './left-restores.ts';
import type { RestoreHost } from './restore-host.ts';

/*
 * A restore, from its record to its end: before it, what others have left is removed; if it fails, what it has made. A
 * record stays where the hypervisor cannot be asked any longer, or refuses, until the next restore to it; and where the
 * machine is there, whole, and something that was asked for after that is missing.
 */

export interface RestoreRun extends AsyncDisposable {
  /** What an earlier attempt of the same restore had completed when its process died. */
  readonly made: Made | undefined;
  /** All that was asked for is there: the record of that attempt goes. */
  forget(): Promise<void>;
  /** Runs `work` with a record of it. */
  run<T>(identity: Identity, work: (note: Note) => Promise<T>): Promise<T>;
}

/** Has the record say it, before the effect that it names. */
export type Note = (
  more: Partial<Pick<RestoreRecord, 'aside' | 'machine' | 'disks' | 'isWhole'>>,
) => Promise<void>;

type Identity = Pick<RestoreRecord, 'id' | 'uuid'>;

interface Running extends Pick<WorkOptions, 'signal'> {
  readonly to: RestoreHost;
  /** By which the same restore is known. */
  readonly asked: string;
  readonly tell: (message: string) => void;
}

/** A hypervisor that is still there answers within that time. */
const CLEAR_MS = 60_000;

/** Rejects BUSY while another restore to that hypervisor runs. */
export async function beginRestore(
  { files, world }: Hypervisors,
  running: Running,
): Promise<RestoreRun> {
  const { to, asked } = running;
  await using stack = new AsyncDisposableStack();
  const held = stack.use(await files.restores(to.name));
  const same = await settleLeft(held, running);
  const owned = stack.move();
  return {
    made: same?.made,
    async forget() {
      if (same) await held.remove(same.id);
    },
    async run(identity, work) {
      let record: RestoreRecord = {
        ...{ ...identity, hypervisor: to.name, asked },
        ...{ started: world.clock.now().toISOString(), aside: undefined },
        ...{ machine: undefined, disks: undefined, isWhole: undefined },
      };
      await held.put(record);
      try {
        const result = await work(async (more) => {
          record = { ...record, ...more };
          await held.put(record);
        });
        await held.remove(identity.id);
        return result;
      } catch (cause) {
        await clear(held, record, running);
        throw cause;
      }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Same {
  /** The ID of the record, which stays until all that was asked for is there. */
  readonly id: string;
  readonly made: Made;
}

/** The same restore, if its machine is there. What others have left, and the hypervisor refuses to remove, stays. */
async function settleLeft(held: HeldRestores, running: Running): Promise<Same | undefined> {
  const { to, asked, tell, signal } = running;
  let same: Same | undefined;
  for (const record of await held.left(tell)) {
    const { id } = record;
    const isSame = record.asked === asked;
    try {
      const { made, isRemoved } = await settleRestore(to, record, signal);
      if (isRemoved) tell(`what the restore ${id} had left on ${to.name} was removed`);
      if (isSame && made && !same) {
        await held.put({ ...record, isWhole: true });
        same = { id, made };
      } else await held.remove(id);
    } catch (cause) {
      if (isSame || !(cause instanceof HypervisorError) || cause.code === 'UNREACHABLE')
        throw cause;
      tell(`what the restore ${id} has left on ${to.name} stays there for now: ${cause.message}`);
    }
  }
  return same;
}

/** After Ctrl-C too. If the machine is there, the record stays: the same restore, tried again, does what is missing. */
async function clear(held: HeldRestores, record: RestoreRecord, { to, tell }: Running) {
  try {
    const { made } = await settleRestore(to, record, AbortSignal.timeout(CLEAR_MS));
    await (made ? held.put({ ...record, isWhole: true }) : held.remove(record.id));
  } catch (cause) {
    if (!(cause instanceof HypervisorError) && !isTimeout(cause)) throw cause;
    tell(
      `what was made on ${to.name} could not be removed, and the next restore to it will remove it: ${cause.message}`,
    );
  }
}

function isTimeout(cause: unknown): cause is Error {
  return cause instanceof Error && cause.name === 'TimeoutError';
}

/** The mark of a new restore, and a UUID that no machine has. */
export function newIdentity({ random }: Pick<World, 'random'>): Identity {
  const id = `restore-${Buffer.from(random.bytes(ID_LENGTH)).toString('hex')}`;
  return { id, uuid: uuidFrom(random.bytes(16), 4) };
}

const ID_LENGTH = 6;

/** All that was found, or, if something stands in the way, a failure that says all of it. */
export function requirePossible(
  what: string,
  findings: readonly Finding[],
  tell: (message: string) => void,
): void {
  const blockers = blockersIn(findings);
  if (blockers.length === 0) {
    for (const it of findings) tell(findingText(it));
    return;
  }
  const unmet = unmetConditions(blockers.length);
  const words = blockers.map(findingText).join('; ');
  const isSpace = blockers.every(({ code }) => code === 'target-space');
  throw new HypervisorError(
    isSpace ? 'NO_SPACE' : 'CONFLICT',
    `${what} cannot be restored: ${unmet}. Nothing was changed: ${words}`,
  );
}
