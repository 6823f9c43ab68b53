import { isAbsolute, join } from 'node:path/posix';
import { SystemError } from '../sys/base/system-error.ts';
import { homeDirectory } from '../sys/files/private-files.ts';

export interface BoxEnvironment {
  readonly HOLDFAST_STATE?: string | undefined;
  readonly XDG_STATE_HOME?: string | undefined;
  readonly CREDENTIALS_DIRECTORY?: string | undefined;
}

/**
 * The directory of a box's memory: the one that the environment names (the service's unit does), otherwise the state
 * directory of this user. Throws FAILED if that is not an absolute path.
 */
export function boxDirectory(env: BoxEnvironment): string {
  return stateDirectory(env) ?? userDirectory(env.XDG_STATE_HOME, join('.local', 'state'));
}

/** The one that the environment names. Throws FAILED if that is not an absolute path. */
export function stateDirectory({ HOLDFAST_STATE: named }: BoxEnvironment): string | undefined {
  if (named === undefined || named === '') return undefined;
  if (isAbsolute(named)) return named;
  throw new SystemError('FAILED', `HOLDFAST_STATE=${named}: an absolute path is needed`);
}

/** Ours in a directory of this user; `usual`: where that is, below the home directory. */
export function userDirectory(named: string | undefined, usual: string): string {
  const isGiven = named !== undefined && isAbsolute(named);
  return join(isGiven ? named : join(homeDirectory(), usual), 'holdfast');
}
