import type { Command } from '../../base/command.ts';
import { DamageFound } from '../../base/command-errors.ts';

export const command: Command = {
  usage: '',
  details: [
    'Each entry holds the hash of all before it. If you keep the last hash elsewhere, a cut at the end shows too.',
  ],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const checked = await call('audit/check', {});
    output.result(checked, () => {
      const from = checked.first > 1 ? `, from number ${checked.first} on` : '';
      return `${checked.entries} entries${from}; the last hash is ${checked.hash}`;
    });
    if (checked.problem !== null) throw new DamageFound(checked.problem);
  },
};
