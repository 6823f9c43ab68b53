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
export function boxDirectory({ HOLDFAST_STATE, XDG_STATE_HOME }: BoxEnvironment): string {
  if (HOLDFAST_STATE !== undefined && HOLDFAST_STATE !== '') {
    if (isAbsolute(HOLDFAST_STATE)) return HOLDFAST_STATE;
    throw new SystemError('FAILED', `HOLDFAST_STATE=${HOLDFAST_STATE}: an absolute path is needed`);
  }
  const isGiven = XDG_STATE_HOME !== undefined && isAbsolute(XDG_STATE_HOME);
  return join(isGiven ? XDG_STATE_HOME : join(homeDirectory(), '.local', 'state'), 'holdfast');
}
