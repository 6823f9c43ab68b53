import type { World } from '../sys/world.ts';
import { type Box, openBox } from './box.ts';
import { boxDirectory } from './box-directory.ts';

/** The box of this process. Reads no file. Throws FAILED if the environment names no directory. */
export function ownBox(world: World): Box {
  const { env } = process;
  return openBox(world, {
    directory: boxDirectory(env),
    credentials: env['CREDENTIALS_DIRECTORY'],
  });
}
