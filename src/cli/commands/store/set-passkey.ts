import { argument, option } from '../../base/rows.ts';
import type { Command } from '../../base/command.ts';

export const command: Command = {
  summary: 'Set or change the passkey of a set',
  about: [
    'From then on people who run, restore or open recovery points of the set have to give its passkey, also if ' +
      'the service has the key of the set. Backups, jobs and sessions that the service resumes by itself need none. ' +
      'The command asks for the new passkey twice, and first for the present one, if there is one. A passkey has at ' +
      'least 8 characters.',
  ],
  args: [argument('SET', 'name of the set', { names: ['sets'] })],
  options: [option('new-passkey-file', 'FILE', 'a file whose first line is the new passkey')],
  examples: ['set passkey nightly'],
  async run({ args }, { call, output }) {
    const done = await call('set/passkey', { set: args[0]! }, { ask: 'new passkey' });
    output.result(done, () => `Recoveries from set "${done.set}" need its passkey from now on.`);
  },
};
