import type { Command } from '../../base/command.ts';
import { declared } from '../../base/declared.ts';
import { operationCommand } from '../../options/operation-command.ts';
import { render } from '../../render/backup-export.ts';

const fromFile = operationCommand(await declared('backup/import'), render['backup/import']);

/** From a file, which the service can read; or from standard input, by this process. */
export const command: Command = {
  ...fromFile,
  about: [
    ...fromFile.about,
    'Instead of a file, - is standard input: a tape, or ssh. Then the command itself writes to the store, on its host.',
  ],
  examples: [
    ...fromFile.examples,
    'backup import - --passphrase-file key </mnt/usb/nightly.export',
  ],
  async run(input, context) {
    if (input.args[0] !== '-') return fromFile.run(input, context);
    const { output, engine, secrets, signal } = context;
    const { standardInput } = await import('../../../sys/terminal/standard-input.ts');
    const { importFrom } = await import('../../../engine/points/imports.ts');
    await using piped = standardInput(signal);
    const request = {
      ...{ set: input.text('set'), as: input.text('as'), dryRun: input.flag('dry-run') },
    };
    const options = { secrets, signal, report: output.report };
    const done = await importFrom(await engine(), request, options, { read: piped.read, size: 0 });
    const { text, failure } = render['backup/import'];
    output.result(done, () => text(done));
    const failed = failure(done);
    if (failed) throw failed;
  },
};
