import type { SessionRecord } from '../../../formats/store/sessions/session.ts';
import type { ExportWay } from '../../../hypervisors/base/export-way.ts';
import type { RunPlan, ServedDisk } from '../../../hypervisors/base/run-driver.ts';
import { SessionError } from '../../../sessions/state/session-error.ts';
import type { Store } from '../../../store/directory/store.ts';
import { readParts } from '../../run-plan/point-parts.ts';
import { runPlanOf } from '../../run-plan/run-plan.ts';
import { servedSocket } from './host-reach.ts';
import type { OpenedPoint } from '../../base/engine.ts';

/**
 * The plan of a session, as its journal, its recovery point and its exports have it; the point is read once. Rejects
 * UNSUPPORTED if the point does not describe its machine.
 */
export function runPlans(
  store: Store,
  opened: OpenedPoint,
): (record: SessionRecord, exports: ExportWay) => Promise<RunPlan> {
  let reading: ReturnType<typeof readParts> | undefined;
  return async (record, exports) => {
    // A failure may pass: the next step tries again.
    reading ??= readParts(store, opened).catch((cause: unknown) => {
      reading = undefined;
      throw cause;
    });
    const { machine, files } = await reading;
    if (machine) return runPlanOf(record, { machine, files, disks: servedDisks(record, exports) });
    const what = `recovery point ${record.point} has no description of its machine`;
    throw new SessionError(
      'UNSUPPORTED',
      `${what}: if a part of the store was lost, "holdfast store check" lists it`,
    );
  };
}

function servedDisks(record: SessionRecord, exports: ExportWay): readonly ServedDisk[] {
  const socket = servedSocket(record);
  return record.disks.map(({ name, size }) => ({
    ...{ name, size, urls: [exports.urlOf(socket, name)] },
  }));
}
