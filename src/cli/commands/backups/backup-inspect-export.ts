import type { Command } from '../../base/command.ts';
import { declared } from '../../base/declared.ts';
import { operationCommand } from '../../options/operation-command.ts';
import { render } from '../../render/backup-export.ts';

const ofFile = operationCommand(
  await declared('backup/inspect-export'),
  render['backup/inspect-export'],
);

export const command: Command = {
  ...ofFile,
  about: [...ofFile.about, 'Instead of a file, - is standard input.'],
  async run(input, context) {
    if (input.args[0] !== '-') return ofFile.run(input, context);
    const { output, signal } = context;
    const { standardInput } = await import('../../../sys/terminal/standard-input.ts');
    const { inspectPiped } = await import('../../../engine/points/exports.ts');
    await using piped = standardInput(signal);
    const options = { signal, report: output.report };
    const done = await inspectPiped(piped.read, input.flag('read-data'), options);
    const { text, failure } = render['backup/inspect-export'];
    output.result(done, () => text(done));
    const failed = failure(done);
    if (failed) throw failed;
  },
};
