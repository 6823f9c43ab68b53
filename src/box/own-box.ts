import type { World } from '../sys/world.ts';
import { type Box, openBox } from './box.ts';
import { boxDirectory } from './box-directory.ts';

/** The box that this process belongs to. Reads no file. Throws FAILED where the environment names no place. */
export function ownBox(world: World): Box {
  const { env } = process;
  return openBox(world, {
    directory: boxDirectory(env),
    credentials: env['CREDENTIALS_DIRECTORY'],
  });
}
