import type { StoreOperationName } from '../../operations/operations.ts';
import { bound, type Handlers } from '../base/call.ts';
import { realWorld } from '../../sys/world.ts';
import type { StoreContext } from './context.ts';
import { markHandlers, type MarkName } from './mark-handlers.ts';
import { restoreHandlers, type RestoreName } from './restore-handlers.ts';

// What is loaded only when it is wanted, for a quick start of the command line.
const backups = () => import('../points/backups.ts');
const exports = () => import('../points/exports.ts');
const listed = () => import('../points/listed-points.ts');
const marks = () => import('../points/marks.ts');
const managed = () => import('../hypervisors/managed.ts');
const sessions = () => import('../sessions/run-session.ts');
const shownSessions = () => import('../sessions/shown-sessions.ts');
const passphrases = () => import('./set-passphrases.ts');
const sets = () => import('../points/sets.ts');
const stores = () => import('../points/stores.ts');

/** Operations that any process carries out that may open the store. */
export function storeHandlers(context: StoreContext): Handlers<StoreOperationName> {
  return {
    ...restoreHandlers(context),
    ...proofHandlers(context),
    ...setHandlers(context),
    ...markHandlers(context),
    ...otherHandlers(context),
  };
}

type OtherName = Exclude<StoreOperationName, RestoreName | ProofName | SetName | MarkName>;

function otherHandlers(context: StoreContext): Handlers<OtherName> {
  return bound<StoreContext, OtherName>(context, {
    'support/create': async (store) => (await import('./support.ts')).supportBundle(store),
    'store/adopt': async ({ engine, service }, request) => {
      const own = await engine();
      const done = await (await import('./adoption.ts')).adopt(own, await service?.jobs(), request);
      if (done.adopted && service) {
        await (await service.sessions()).resumeAll();
        (await service.monitor()).wake();
      }
      return done;
    },
    'store/usage': async ({ engine }, request) =>
      (await import('./usage.ts')).usage(await engine(), request),
    'store/check': async ({ engine }, { readData }, options) =>
      (await stores()).checkStore(await engine(), { readData, ...options }),
    'store/scrub': async ({ engine }, request, options) =>
      (await import('../upkeep/scrub.ts')).scrub(await engine(), request, options),
    'store/repair': async ({ engine }, request, options) =>
      (await import('../upkeep/repair.ts')).repair(await engine(), request, options),
    'store/sweep': async ({ engine }, request, options) =>
      (await import('../upkeep/sweep.ts')).sweep(await engine(), request, options),
    'store/upgrade': async ({ engine, service }, request, options) => {
      const { upgrade } = await import('./upgrade.ts');
      return upgrade(await engine(), await service?.jobs(), request, options);
    },
    'store/rebuild-index': async ({ engine }, _request, { report }) =>
      (await stores()).remakeIndex(await engine(), report),
    'backup/create': async ({ engine, isSecret }, request, options) =>
      (await backups()).createBackup(await engine(), request, { ...options, isSecret }),
    'backup/machine': async ({ engine, hypervisors }, request, options) => {
      const { backupMachines } = await import('../hypervisors/machine-backup.ts');
      return backupMachines(await engine(), request, {
        ...options,
        hypervisors: await hypervisors(),
      });
    },
    'backup/list': async ({ engine }, request) => (await listed()).points(await engine(), request),
    'backup/page': async ({ engine }, request) =>
      (await listed()).pointPage(await engine(), request),
    'backup/show': async ({ engine }, request, { secrets }) =>
      (await import('../points/shown-point.ts')).showPoint(await engine(), request, secrets),
    'backup/forget': async ({ engine }, { point }) =>
      (await listed()).forget(await engine(), point),
    'backup/retain': async ({ engine }, request) =>
      (await import('../points/set-retention.ts')).retainByRules(await engine(), request),
    'backup/export': async ({ engine }, request, options) =>
      (await exports()).exportToFile(await engine(), request, options),
    'backup/import': async ({ engine }, request, options) =>
      (await import('../points/imports.ts')).importFile(await engine(), request, options),
    'backup/inspect-export': async (_context, request, options) =>
      (await exports()).inspectExport(realWorld().files, request, options),
    'restore/disk': async ({ engine }, request, options) =>
      (await backups()).restore(await engine(), request, options),
    'restore/images': async ({ engine, isSecret }, request, options) => {
      const { restoreImages } = await import('../points/restore-images.ts');
      return restoreImages(await engine(), request, { ...options, isSecret });
    },
    'session/list': async ({ engine, service }) =>
      (await shownSessions()).sessions(await engine(), service?.whyWaiting),
    'session/show': async ({ engine, service }, { session }) =>
      (await shownSessions()).showSession(await engine(), session, service),
    'session/discard': async (context, request, options) =>
      (await import('./placed.ts')).discardAny(context, request, options),
    'hypervisor/identify': async ({ hypervisors }, request, options) =>
      (await managed()).identify(await hypervisors(), request, options),
    'hypervisor/add': async ({ hypervisors }, request, options) =>
      (await managed()).add(await hypervisors(), request, options),
    'hypervisor/list': async ({ hypervisors }) => (await managed()).list(await hypervisors()),
    'hypervisor/show': async ({ hypervisors }, request, options) =>
      (await managed()).show(await hypervisors(), request, options),
    'hypervisor/test': async ({ hypervisors, engine }, request, { signal }) => {
      const { readiness } = await import('../hypervisors/readiness.ts');
      return readiness(await hypervisors(), engine, request, signal);
    },
    'hypervisor/machines': async ({ hypervisors, engine }, request, options) => {
      const { machines } = await import('../hypervisors/machines.ts');
      return machines(await hypervisors(), await engine(), request, options);
    },
    'hypervisor/change': async ({ hypervisors }, request, options) =>
      (await managed()).change(await hypervisors(), request, options),
    'hypervisor/remove': async ({ hypervisors, service }, request) => {
      const { remove } = await managed();
      if (service) await (await import('./placed.ts')).refuseUsed(service, request);
      const removed = await remove(await hypervisors(), await service?.jobs(), request);
      await (await service?.sessions())?.placed.connections.release(request.hypervisor);
      return removed;
    },
    'session/keep': async ({ engine }, { session }, options) =>
      (await sessions()).keep(await engine(), session, options),
    'session/finalize': async ({ engine, isSecret }, request, options) => {
      const { finalize } = await import('../sessions/finalize.ts');
      return finalize(await engine(), request, { ...options, isSecret });
    },
  });
}

type SetName = Extract<StoreOperationName, `set/${string}`>;

function setHandlers(context: StoreContext): Handlers<SetName> {
  return bound<StoreContext, SetName>(context, {
    'set/lock': async ({ engine }, request, { secrets }) =>
      (await marks()).lockSet(await engine(), request, secrets),
    'set/list': async ({ engine }) => (await sets()).sets(await engine()),
    'set/create': async ({ engine }, { set, encrypted }, { given }) => {
      const passphrase = encrypted ? (await sets()).newPassphrase(given) : undefined;
      return (await sets()).makeSet(await engine(), set, passphrase);
    },
    'set/import-key': async ({ engine }, request, { given }) =>
      (await import('../points/set-keys.ts')).importKey(await engine(), request, given),
    'set/add-passphrase': async (own, request, options) =>
      (await passphrases()).addSetPassphrase(own, request, options),
    'set/change-passphrase': async (own, request, options) =>
      (await passphrases()).changeSetPassphrase(own, request, options),
    'set/remove-passphrase': async (own, request, options) =>
      (await passphrases()).removeSetPassphrase(own, request, options),
    'set/change-recovery-key': async (own, request, options) =>
      (await passphrases()).changeSetRecoveryKey(own, request, options),
    'set/remove': async (own, request) =>
      (await import('./set-remove.ts')).removeWholeSet(own, request),
    'set/show': async ({ engine }, { set }) => (await sets()).showSet(await engine(), set),
    'set/change': async ({ engine }, request) =>
      (await import('../points/set-retention.ts')).changeSet(await engine(), request),
  });
}

type ProofName = Extract<StoreOperationName, `verify/${string}`>;

function proofHandlers(context: StoreContext): Handlers<ProofName> {
  return bound<StoreContext, ProofName>(context, {
    'verify/point': async ({ engine }, request, options) =>
      (await import('../verify/verify-point.ts')).verifyPoint(await engine(), request, options),
    'verify/show': async ({ engine }, request, { secrets }) =>
      (await import('../points/shown-proof.ts')).showProof(await engine(), request, secrets),
    'verify/measure': async ({ engine }, request, options) =>
      (await import('../verify/measure.ts')).measure(await engine(), request, options),
    'verify/capacity': async ({ engine }) =>
      (await import('../verify/measure.ts')).capacity(await engine()),
  });
}
