import { proofText } from '../../../client/proof-text.ts';
import type { ResultOf } from '../../../operations/operations.ts';
import type { Command } from '../../base/command.ts';
import { UsageError } from '../../base/command-errors.ts';
import { declared } from '../../base/declared.ts';
import { fact } from '../../base/output.ts';
import { argument, flag, option } from '../../base/rows.ts';
import { writeNewFile } from '../../base/written-file.ts';
import { provedText } from '../../render/verify.ts';

const { summary, description } = await declared('verify/show');

export const command: Command = {
  summary,
  about: [description!, 'With --serial, only that is printed.'],
  args: [
    argument('POINT', 'the recovery point: its ID, the beginning of one, or MACHINE@latest', {
      names: ['points'],
    }),
  ],
  options: [
    option(
      'screenshot',
      'FILE',
      'also write the screenshot to this file, which must not exist: PNG',
    ),
    flag('serial', 'print the end of what the guest wrote to its serial line'),
  ],
  examples: [
    'verify show web1@latest',
    'verify show web1@latest --screenshot web1.png',
    'verify show web1@latest --serial',
  ],
  async run(input, { output, call }) {
    const to = input.text('screenshot');
    const serial = input.flag('serial');
    const request = { point: input.args[0]!, screenshot: to !== undefined, picture: false, serial };
    const shown = await call('verify/show', request, { ask: 'if needed' });
    const { screenshot, ...rest } = shown;
    if (to !== undefined) {
      if (!screenshot) throw new UsageError(`the last proof of ${shown.point} has no screenshot`);
      await writeNewFile(to, Buffer.from(screenshot, 'base64'));
    }
    if (serial && !output.json) return await output.verbatim(shown.serial ?? '');
    output.result({ ...rest, file: to }, () => textOf(shown, to));
  },
};

function textOf(shown: ResultOf<'verify/show'>, to: string | undefined): string {
  const { proof, earlier } = shown;
  const written = to === undefined ? 'kept: --screenshot FILE writes it' : to;
  return [
    provedText(shown),
    ...(proof.hasScreenshot ? [fact('screenshot', written)] : []),
    ...earlier.map((it) => fact('before', `${proofText(it)} (${it.started})`)),
  ].join('\n');
}
