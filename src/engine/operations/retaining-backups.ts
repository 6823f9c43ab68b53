import type { Handlers } from '../base/call.ts';
import type { Engine } from '../base/engine.ts';
import { retainAfter } from '../points/retain-after.ts';

type Backups = Pick<Handlers, 'backup/create' | 'backup/machine'>;

/** Backups that a person orders directly; those of jobs may have rules of their own (`job-work.ts`). */
export function retainingBackups(backups: Backups, engine: () => Promise<Engine>): Backups {
  return {
    async 'backup/create'(request, options) {
      const point = await backups['backup/create'](request, options);
      await retainAfter(await engine(), point, undefined, options.report);
      return point;
    },
    async 'backup/machine'(request, options) {
      const made = await backups['backup/machine'](request, options);
      for (const point of made.points) {
        await retainAfter(await engine(), point, undefined, options.report);
      }
      return made;
    },
  };
}
