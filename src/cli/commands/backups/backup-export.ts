import { UsageError } from '../../base/command-errors.ts';
import type { Command, Input } from '../../base/command.ts';
import { declared } from '../../base/declared.ts';
import { operationCommand } from '../../options/operation-command.ts';
import { exportedLines, exportFailure, render } from '../../render/backup-export.ts';

const toFile = operationCommand(await declared('backup/export'), render['backup/export']);

/** To a file, which the service can write; or to standard output, by this process. */
export const command: Command = {
  ...toFile,
  about: [
    ...toFile.about,
    'With "--to -" the export goes to standard output, from its beginning to its end: to a tape, or through ssh. ' +
      'Then the command itself reads the store, on its host.',
  ],
  examples: [
    ...toFile.examples,
    "backup export 'nightly/web1@latest' --to web1.export",
    'backup export --set nightly --to - >/dev/nst0',
  ],
  async run(input, context) {
    if (input.text('to') !== '-') return toFile.run(input, context);
    const { output, engine, secrets, signal } = context;
    requirePlainOutput(input, output.json);
    const { exportInto } = await import('../../../engine/points/exports.ts');
    const request = {
      points: input.args,
      ...{ set: input.text('set'), machine: input.text('machine'), run: input.text('run') },
    };
    const options = { secrets, signal, report: output.report };
    const target = { sink: output.bytes, async onBegin() {} };
    const done = await exportInto(await engine(), request, options, target);
    for (const line of exportedLines(done)) output.say(line);
    const failure = exportFailure(done);
    if (failure) throw failure;
  },
};

function requirePlainOutput(input: Input, json: boolean): void {
  if (json) throw new UsageError('--json and "--to -" both need standard output: give one of them');
  if (input.flag('overwrite')) throw new UsageError('--overwrite goes with a file');
  if (process.stdout.isTTY) {
    throw new UsageError('standard output is a terminal: redirect it, or give --to FILE');
  }
}
