import type { Command } from '../../base/command.ts';
import { eitherOptions, IMAGES, MACHINES, meantBackup } from '../../options/backup-options.ts';
import { operationCommand } from '../../options/operation-command.ts';
import { render } from '../../render/backup.ts';

const images = operationCommand(IMAGES, render['backup/create']);
const machines = operationCommand(MACHINES, render['backup/machine']);

export const command: Command = {
  summary: images.summary,
  about: [
    ...images.about,
    'With --from, the disks come from a hypervisor that "holdfast hypervisor add" has added. ' +
      machines.about.join(' '),
  ],
  args: images.args,
  options: eitherOptions(images.options, machines.options),
  examples: [...images.examples, ...machines.examples],
  async run(input, context) {
    await (meantBackup(input) === MACHINES ? machines : images).run(input, context);
  },
};
