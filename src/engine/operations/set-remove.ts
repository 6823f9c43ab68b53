import { CatalogError } from '../../catalog/catalog-error.ts';
import { removeSet } from '../../catalog/removal/remove-set.ts';
import { openJobFiles } from '../../jobs/job-files.ts';
import { SchemaError } from '../../lib/schema.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { listSessions } from '../../sessions/state/listed-sessions.ts';
import { type Engine, readKnownSet } from '../base/engine.ts';
import { trustedNow } from '../base/trusted-now.ts';
import { setUsers } from '../jobs/set-users.ts';
import { checkDeletions } from '../points/deletions.ts';
import { removePasskey } from '../secrets/passkey-files.ts';
import type { StoreContext } from './context.ts';

/** Removes a set, unless something keeps one of its recovery points, or uses the set. */
export async function removeWholeSet(
  { engine: open, service }: StoreContext,
  { set, confirm }: RequestOf<'set/remove'>,
): Promise<ResultOf<'set/remove'>> {
  const engine = await open();
  const { store, memory } = engine;
  if (confirm !== set) {
    throw new SchemaError(['confirm'], `to remove set "${set}", type its name: --confirm ${set}`);
  }
  await readKnownSet(engine, set);
  await checkDeletions(engine);
  const jobs = await service?.jobs();
  const files = jobs?.files ?? (await openJobFiles(store.files, store.directory, { memory }));
  const { points, machines } = await removeSet(store, set, {
    trustedMs: await trustedNow(engine),
    async require() {
      await requireNoSession(engine, set);
      const { schedules, jobs } = await setUsers(engine, files, set);
      const uses = [
        ...schedules.map((it) => `schedule "${it}" ("holdfast schedule remove ${it}")`),
        ...jobs.map((it) => `job ${it} ("holdfast job cancel ${it}")`),
      ];
      if (uses.length === 0) return;
      throw new CatalogError(
        'IN_USE',
        `set "${set}" stays, because it is used by ${uses.join(', ')}`,
      );
    },
  });
  // What this box knows of it would count for a later set of the name.
  await removePasskey(engine, set);
  await memory.forget([{ kind: 'retention', name: set }]);
  await memory.forgetSet(set);
  await memory.marked.forgetSet(set);
  await memory.published.forget(machines.map((machine) => ({ set, machine })));
  return { set, points };
}

/** Also one without a lease. */
async function requireNoSession({ store }: Engine, set: string): Promise<void> {
  const { sessions } = await listSessions(store);
  const own = sessions.find(({ record }) => record.set === set);
  if (!own) return;
  const { id } = own.record;
  const advice = `"holdfast session discard ${id}" or "holdfast session keep ${id}" first`;
  throw new CatalogError(
    'IN_USE',
    `set "${set}" stays, because session ${id} runs from it: ${advice}`,
  );
}
