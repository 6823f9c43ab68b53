import type { OpenSet } from '../../../catalog/sets.ts';
import { nbdUri } from '../../../block/nbd-client/nbd-uri.ts';
import type { PointRecord } from '../../../formats/store/catalog/point.ts';
import type { SessionRecord } from '../../../formats/store/sessions/session.ts';
import type { RunPlan, ServedDisk } from '../../../hypervisors/base/run-driver.ts';
import { SessionError } from '../../../sessions/state/session-error.ts';
import type { Store } from '../../../store/directory/store.ts';
import { reachableAddress } from '../../../sys/net/this-host.ts';
import { parseListenAddress } from '../../base/listen-address.ts';
import { readParts } from '../../run-plan/point-parts.ts';
import { runPlanOf } from '../../run-plan/run-plan.ts';

/** An opened recovery point. */
export interface OpenedPoint {
  readonly set: OpenSet;
  readonly point: PointRecord;
}

/**
 * The plan of a session, as its journal, its recovery point and its exports have it; the point is read once. Rejects
 * UNSUPPORTED if the point does not describe its machine.
 */
export function runPlans(
  store: Store,
  opened: OpenedPoint,
): (record: SessionRecord) => Promise<RunPlan> {
  let reading: ReturnType<typeof readParts> | undefined;
  return async (record) => {
    // A failure may pass: the next step tries again.
    reading ??= readParts(store, opened).catch((cause: unknown) => {
      reading = undefined;
      throw cause;
    });
    const { machine, files } = await reading;
    if (machine) return runPlanOf(record, { machine, files, disks: servedDisks(record) });
    const what = `recovery point ${record.point} has no description of its machine`;
    throw new SessionError('UNSUPPORTED', `${what}: was a part of the store lost? "store check"`);
  };
}

function servedDisks({ listen, tls, disks }: SessionRecord): readonly ServedDisk[] {
  const address = reachableAddress(parseListenAddress(listen));
  return disks.map(({ name, size }) => ({ name, size, urls: [nbdUri(address, name, tls)] }));
}
