import { isAbsolute, join } from 'node:path/posix';
import { SystemError } from '../sys/base/system-error.ts';
import { homeDirectory } from '../sys/files/private-files.ts';

export interface BoxEnvironment {
  readonly HOLDFAST_STATE?: string | undefined;
  readonly XDG_STATE_HOME?: string | undefined;
  readonly CREDENTIALS_DIRECTORY?: string | undefined;
}

/**
 * Where a box remembers: what the environment names (the unit of the service does), else the state directory of this
 * user. Throws FAILED where that is not an absolute path.
 */
export function boxDirectory({ HOLDFAST_STATE, XDG_STATE_HOME }: BoxEnvironment): string {
  if (HOLDFAST_STATE !== undefined && HOLDFAST_STATE !== '') {
    if (isAbsolute(HOLDFAST_STATE)) return HOLDFAST_STATE;
    throw new SystemError('FAILED', `HOLDFAST_STATE=${HOLDFAST_STATE}: an absolute path is needed`);
  }
  const isGiven = XDG_STATE_HOME !== undefined && isAbsolute(XDG_STATE_HOME);
  return join(isGiven ? XDG_STATE_HOME : join(homeDirectory(), '.local', 'state'), 'holdfast');
}
