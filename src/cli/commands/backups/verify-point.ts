import { operations } from '../../../operations/nouns/verify.ts';
import type { RequestOf } from '../../../operations/operations.ts';
import type { Command } from '../../base/command.ts';
import { NotProven } from '../../base/command-errors.ts';
import { option } from '../../base/rows.ts';
import { writeNewFile } from '../../base/written-file.ts';
import { operationCommand, requestOf } from '../../options/operation-command.ts';
import { render } from '../../render/verify.ts';

const [verify] = operations;
const derived = operationCommand(verify, render['verify/point']);

export const command: Command = {
  ...derived,
  options: [
    ...derived.options,
    option(
      'screenshot',
      'FILE',
      'also write the screenshot to this file, which must not exist: PNG',
    ),
  ],
  async run(input, context) {
    const { output, call } = context;
    const to = input.text('screenshot');
    const asked = await requestOf(verify, { args: input.args, input, isJob: false }, context);
    const request = { ...asked, screenshot: to !== undefined } as RequestOf<'verify/point'>;
    const shown = await call('verify/point', request, { ask: 'if needed' });
    const { screenshot, ...rest } = shown;
    if (to !== undefined && screenshot) await writeNewFile(to, Buffer.from(screenshot, 'base64'));
    output.result({ ...rest, file: screenshot ? to : undefined }, () =>
      render['verify/point'](shown),
    );
    const { proof, point } = shown;
    if (proof.verdict === 'failed') throw new NotProven(`${point} is not proven: ${proof.state}`);
  },
};
