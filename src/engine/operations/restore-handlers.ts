import { bound, type Handlers } from '../base/call.ts';
import type { StoreContext } from './context.ts';

export type RestoreName = 'restore/machine' | 'restore/machine-disk';

/** Restores to hypervisors. */
export function restoreHandlers(context: StoreContext): Handlers<RestoreName> {
  return bound<StoreContext, RestoreName>(context, {
    'restore/machine': async ({ engine, hypervisors }, request, options) => {
      const { restoreMachine } = await import('../restores/restore-machine.ts');
      const own = { ...options, hypervisors: await hypervisors() };
      return restoreMachine(await engine(), request, own);
    },
    'restore/machine-disk': async ({ engine, hypervisors }, request, options) => {
      const { restoreMachineDisk } = await import('../restores/restore-machine-disk.ts');
      const own = { ...options, hypervisors: await hypervisors() };
      return restoreMachineDisk(await engine(), request, own);
    },
  });
}
