import type { FilesRequest } from '../../engine/files/files.ts';
import type { Input } from '../base/command.ts';
import { flag, option } from '../base/rows.ts';
import { findVolumeKey } from '../base/secrets.ts';

/** The options of every command that reads volumes. */
export const VOLUME_OPTIONS = [
  flag(
    'isolated',
    'read file systems only in a VM: for untrusted guests; journals are replayed there',
  ),
  option(
    'volume-key-file',
    'FILE',
    'its first line is the key of locked volumes (LUKS, BitLocker); default: a prompt',
  ),
];

export function volumeOptions(input: Input): Pick<FilesRequest, 'isolated' | 'keys'> {
  const file = input.text('volume-key-file');
  return {
    isolated: input.flag('isolated'),
    keys: async ({ name, found }) => findVolumeKey(`${name} (${found})`, file),
  };
}
