import type { StoreOperationName } from '../../operations/operations.ts';
import { bound, type Handlers } from '../base/call.ts';
import type { StoreContext } from './context.ts';

// What is loaded only when it is wanted, for a quick start of the command line.
const backups = () => import('../points/backups.ts');
const sessions = () => import('../sessions/run-session.ts');
const sets = () => import('../points/sets.ts');
const stores = () => import('../points/stores.ts');

/** Operations that any process carries out that may open the store. */
export function storeHandlers(context: StoreContext): Handlers<StoreOperationName> {
  return bound<StoreContext, StoreOperationName>(context, {
    'support/create': async (store) => (await import('./support.ts')).supportBundle(store),
    'store/create': (store) => store.makeStore(),
    'store/adopt': async ({ house, service }, request) => {
      const own = await house();
      const done = await (await import('./adoption.ts')).adopt(own, await service?.jobs(), request);
      if (done.adopted && service) {
        await (await service.sessions()).resumeAll();
        (await service.guard()).wake();
      }
      return done;
    },
    'store/usage': async ({ house }) => (await import('./usage.ts')).usage(await house()),
    'store/check': async ({ house }, { readData }, options) =>
      (await stores()).checkStore(await house(), { readData, ...options }),
    'store/upgrade': async ({ house, service }, request, options) => {
      const { upgrade } = await import('./upgrade.ts');
      return upgrade(await house(), await service?.jobs(), request, options);
    },
    'store/rebuild-index': async ({ house }, _request, { report }) =>
      (await stores()).remakeIndex(await house(), report),
    'set/list': async ({ house }) => (await sets()).sets(await house()),
    'set/create': async ({ house }, { set, encrypted }, { given }) => {
      const passphrase = encrypted ? (await sets()).newPassphrase(given) : undefined;
      return (await sets()).makeSet(await house(), set, passphrase);
    },
    'set/import-key': async ({ house }, request, { given }) =>
      (await import('../points/set-keys.ts')).importKey(await house(), request, given),
    'backup/create': async ({ house, isSecret }, request, options) =>
      (await backups()).createBackup(await house(), request, { ...options, isSecret }),
    'backup/list': async ({ house }, request) => (await backups()).points(await house(), request),
    'backup/page': async ({ house }, request) =>
      (await backups()).pointPage(await house(), request),
    'backup/show': async ({ house }, { point }, { secrets }) =>
      (await backups()).showPoint(await house(), point, secrets),
    'backup/forget': async ({ house }, { point }) => (await backups()).forget(await house(), point),
    'backup/retain': async ({ house }, request) =>
      (await import('../points/retention.ts')).retain(await house(), request),
    'restore/disk': async ({ house }, request, options) =>
      (await backups()).restore(await house(), request, options),
    'session/list': async ({ house, service }) =>
      (await sessions()).sessions(await house(), service?.whyWaiting),
    'session/show': async ({ house, service }, { session }) =>
      (await sessions()).showSession(await house(), session, service),
    'session/discard': async ({ house }, { session }, { report }) => {
      const tell = (message: string): void => report({ event: 'notice', message });
      await (await sessions()).discard(await house(), session, tell);
      return { session, discarded: true };
    },
    'session/keep': async ({ house }, { session }, options) =>
      (await sessions()).keep(await house(), session, options),
  });
}
