import { type Command, DamageFound } from '../command.ts';

export const command: Command = {
  usage: '',
  details: [
    'Each entry vouches for all before it. Keep the last hash elsewhere, and nothing can be cut off unseen.',
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
