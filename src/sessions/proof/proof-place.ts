import { join } from 'node:path/posix';
import { refuseLinks } from '../../store/directory/own-directories.ts';
import type { Store } from '../../store/directory/store.ts';
import { giveTo, type GuestUser } from '../../sys/process/guest-user.ts';
import { type BootSockets, bootSockets, socketDirectory } from '../../sys/net/socket-directory.ts';
import { temporaryParent } from '../../sys/files/private-directory.ts';

/*
 * Where a boot that proves a point has its files: overlays in the store, since they may be large, and what QEMU makes
 * (sockets, variables, pictures) in memory. Nothing of it outlives the boot; what a killed process has left, the next
 * one removes, and each start of the service.
 */

export interface ProofPlace extends AsyncDisposable {
  readonly id: string;
  readonly overlays: string;
  /** Only the user of QEMU may enter. */
  readonly sockets: string;
  /** Not made yet: for sockets that lead to ports of the guest. Only this user may enter the directory around it. */
  readonly guest: string;
}

const PARENT = 'verify';
const ID_LENGTH = 8;
const ID = /^[0-9a-f]{16}$/;

export async function proofPlace(store: Store, user: GuestUser | undefined): Promise<ProofPlace> {
  const { files, random } = store;
  await refuseLinks(store);
  const id = Buffer.from(random.bytes(ID_LENGTH)).toString('hex');
  const parent = join(store.directory, PARENT);
  await files.makeDirectory(parent);
  await using stack = new AsyncDisposableStack();
  // Held before anything is there that a sweep could take for a dead process's.
  stack.use(await files.lock(lockPath(store, id), 'verify'));
  stack.defer(() => remove(store, id));
  const overlays = join(parent, id);
  await files.makeDirectory(overlays);
  const { own: sockets, ports, guest } = socketsOf(id);
  await files.makeDirectory(sockets, 'private');
  if (user) giveTo(user, sockets);
  await files.makeDirectory(ports, 'private');
  const owned = stack.move();
  return { id, overlays, sockets, guest, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Removes what killed processes have left; returns of how many boots that was. */
export async function sweepProofs(store: Store): Promise<number> {
  const { files } = store;
  const parent = join(store.directory, PARENT);
  if (!(await files.stat(parent))) return 0;
  const names = await files.list(parent);
  let count = 0;
  for (const name of names) {
    const id = name.replace(/\.lock$/, '');
    if (!ID.test(id) || (await files.lockHolder(lockPath(store, id))) !== undefined) continue;
    // Its directories are about to be made.
    if (!names.includes(id) && (await isYoung(store, lockPath(store, id)))) continue;
    await remove(store, id);
    if (name === id) count++;
  }
  return count;
}

const YOUNG_MS = 60_000;

async function isYoung({ files, clock }: Store, path: string): Promise<boolean> {
  const found = await files.stat(path);
  return found !== undefined && clock.now().getTime() - found.modifiedMs < YOUNG_MS;
}

async function remove(store: Store, id: string): Promise<void> {
  const { files } = store;
  const { own, ports } = socketsOf(id);
  await files.removeTree(own);
  await files.removeTree(ports);
  await files.removeTree(join(store.directory, PARENT, id));
  // Last: it names the rest.
  if (await files.stat(lockPath(store, id))) await files.unlink(lockPath(store, id));
}

function lockPath({ directory }: Store, id: string): string {
  return join(directory, PARENT, `${id}.lock`);
}

function socketsOf(id: string): BootSockets {
  return bootSockets(id, socketDirectory() ?? temporaryParent());
}
