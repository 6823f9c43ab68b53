import { formatSize } from '../../../lib/sizes.ts';
import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';

export const command: Command = {
  usage: '',
  details: ['Under each export its clients, with what they have read and written.'],
  options: {},
  takes: [0, 0],
  async run(_input, { output, call }) {
    const listing = await call('export/list', {});
    output.result(listing, () =>
      table(
        ['SESSION', 'EXPORT, CLIENT', 'READ', 'WRITTEN', 'SINCE'],
        listing.exports.flatMap(({ session, uri, clients, ...whole }) => [
          [session, uri, formatSize(whole.readBytes), formatSize(whole.writtenBytes), ''],
          ...clients.map(({ address, since, readBytes, writtenBytes }) => [
            ...['', `  ${address ?? 'this host'}`, formatSize(readBytes)],
            ...[formatSize(writtenBytes), since],
          ]),
        ]),
      ),
    );
  },
};
