import type { Command } from '../../base/command.ts';
import { CheckFailed } from '../../base/command-errors.ts';

export const command: Command = {
  usage: '[HOST]',
  details: [
    'Tries the gateways, the name servers, and HOST if given. Exit code 1 if something failed.',
  ],
  options: {},
  takes: [0, 1],
  async run({ args }, { output, call }) {
    const { checks } = await call('network/test', { host: args[0] });
    output.result({ checks }, () =>
      checks
        .map(({ what, ok, detail }) => `${ok ? 'ok    ' : 'FAILED'}  ${what}: ${detail}`)
        .join('\n'),
    );
    const failed = checks.filter(({ ok }) => !ok).length;
    if (failed > 0) throw new CheckFailed(`${failed} of ${checks.length} failed`);
  },
};
