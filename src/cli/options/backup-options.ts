import type { Operation } from '../../operations/base/operation.ts';
import { UsageError } from '../base/command-errors.ts';
import type { Input, Row } from '../base/command.ts';
import { declared } from '../base/declared.ts';
import { optionsOf } from './operation-command.ts';

/* Two operations make recovery points, and are one command: --from says which one is meant. */

/** Makes a recovery point of disks as they are given. */
export const IMAGES = await declared('backup/create');
/** Makes them of machines of a hypervisor. */
export const MACHINES = await declared('backup/machine');

/** From a hypervisor, a disk is only a name. */
const DISK = {
  placeholder: 'NAME[=IMAGE]',
  description:
    'a file, a block device, or nbd://HOST:PORT/EXPORT, nbd+unix:///EXPORT?socket=PATH; with --from, the name of a ' +
    'disk: only these are backed up',
};

/** The options of both; which are required depends on --from. */
export function eitherOptions(images: readonly Row[], machines: readonly Row[]): readonly Row[] {
  const names = new Set(images.map(({ name }) => name));
  const all = [...images, ...machines.filter(({ name }) => !names.has(name))];
  return all.map((row) => ({ ...row, isRequired: false, ...(row.name === 'disk' && DISK) }));
}

/** The operation that the options mean. Throws UsageError for an option that would have no effect. */
export function meantBackup(input: Input): Operation {
  const isFrom = input.has('from');
  const meant = isFrom ? MACHINES : IMAGES;
  const own = new Set(optionsOf(meant).map(({ name }) => name));
  const others = optionsOf(isFrom ? IMAGES : MACHINES);
  const idle = others.find(({ name }) => input.has(name) && !own.has(name));
  if (!idle) return meant;
  throw new UsageError(`--${idle.name} ${isFrom ? 'does not go' : 'only goes'} with --from`);
}
