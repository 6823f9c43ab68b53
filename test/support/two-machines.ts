import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { engineIn } from './engine.ts';
import { noise } from './random.ts';
import { temporaryDirectory } from './temporary.ts';

const MiB = 2 ** 20;
const root = temporaryDirectory();
/** The disks of both machines. */
export const images: readonly [string, string] = [join(root, 'vm1.raw'), join(root, 'vm2.raw')];
let made: Promise<string> | undefined;
let copies = 0;

async function makeStore(): Promise<string> {
  const home = await engineIn(root);
  for (const [n, image] of images.entries()) {
    writeFileSync(image, noise(2 * MiB, n + 1));
    await home.backUp(`vm${n + 1}`, image);
  }
  return home.store;
}

/**
 * A copy of a store with a recovery point of each of two machines, since making one takes long: packs 1 and 3 are of
 * blocks, 2 and 4 of nodes.
 */
export async function copiedStore(): Promise<string> {
  const from = await (made ??= makeStore());
  const store = join(root, `copy-${++copies}`);
  cpSync(from, store, { recursive: true });
  return store;
}
