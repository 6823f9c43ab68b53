import { resolve } from 'node:path/posix';
import { listSets, type OpenSet } from '../../catalog/sets.ts';
import type { ReadyMount } from '../../operations/events.ts';
import { mountStore } from '../../sessions/views/mount.ts';
import { clearDeadMount, mountedDevice } from '../../sys/fuse/fuse-mount.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { type Engine, openSet, type SecretSource, type WorkOptions } from '../base/engine.ts';

export interface MountRequest {
  /** An empty directory. */
  readonly directory: string;
  /** The sets to show; empty: all. */
  readonly sets: readonly string[];
}

/** The store as a file system, until it is disposed or unmounted. */
export interface RunningMount extends AsyncDisposable {
  readonly ready: ReadyMount;
  /** Resolves once it is unmounted; rejects when it can no longer be served. */
  readonly ended: Promise<void>;
}

/** Rejects WRONG_KEY, NOT_FOUND, DENIED (only root may mount), EXISTS. */
export async function mount(
  engine: Engine,
  request: MountRequest,
  { secrets, report }: WorkOptions,
): Promise<RunningMount> {
  const { store } = engine;
  const directory = resolve(request.directory);
  if (await clearDeadMount(directory)) {
    report({ event: 'notice', message: `${directory} was left by processes that died: unmounted` });
  }
  if ((await mountedDevice(directory)) !== undefined) {
    throw new SystemError('BUSY', `something is mounted at ${directory}: unmount it first`);
  }
  const status = await store.files.stat(directory);
  if (status?.kind !== 'directory') {
    throw new SystemError('NOT_FOUND', `${directory} is not a directory: create it first`);
  }
  if ((await store.files.list(directory)).length > 0) {
    throw new SystemError('EXISTS', `${directory} is not empty: a mount would hide its contents`);
  }
  const names = await namesOf(engine, request.sets);
  const sets: OpenSet[] = [];
  // A secret that opens some of several says nothing about the others; each is asked for its passkey, though.
  const ofMany: SecretSource = async (set, when) => {
    const given = await secrets(set, when);
    return when === 'needed' ? given : undefined;
  };
  const source = names.length === 1 ? secrets : ofMany;
  for (const name of names) sets.push(await openSet(engine, name, source));
  const mounted = await mountStore({
    ...{ clock: store.clock, store: resolve(store.directory), directory, sets },
    onRestart: (how) =>
      report({
        event: 'notice',
        message: `the serving process ended (${how}): another one continues`,
      }),
  });
  return {
    ready: { event: 'ready', directory, sets: names },
    ended: mounted.ended,
    [Symbol.asyncDispose]: () => mounted[Symbol.asyncDispose](),
  };
}

async function namesOf({ store }: Engine, given: readonly string[]): Promise<readonly string[]> {
  if (given.length > 0) return given;
  return (await listSets(store)).sets.map(({ name }) => name);
}
