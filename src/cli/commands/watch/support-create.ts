import { option } from '../../base/rows.ts';
import { formatSize } from '../../../lib/sizes.ts';
import type { Command } from '../../base/command.ts';
import { table } from '../../base/output.ts';
import { UsageError } from '../../base/command-errors.ts';
import { writeNewFile } from '../../base/written-file.ts';

export const command: Command = {
  summary: 'Collect logs and settings for a support request, without secrets',
  about: [
    'Writes a tar.gz with versions, settings, sessions, jobs and their logs, the end of the audit log, ' +
      'metrics, disks and the journal; contents.json lists the files. It has no data, and no secrets as far' +
      ' as Holdfast recognizes them, but names of machines and hosts, and paths. Read it before you pass it' +
      ' on.',
  ],
  args: [],
  options: [
    option('to', 'FILE|-', 'the file to write; - is standard output', { isRequired: true }),
  ],
  examples: ['support create --to bundle.tar.gz', 'support create --to - >bundle.tar.gz'],
  async run(input, { output, call }) {
    const to = input.required('to');
    if (to === '-' && output.json) throw new UsageError('--to - leaves no room for --json');
    const { archive, ...made } = await call('support/create', {});
    const bytes = Buffer.from(archive, 'base64');
    if (to === '-') return output.bytes(bytes);
    await writeNewFile(to, bytes);
    output.result({ ...made, file: to, bytes: bytes.length }, () =>
      [
        table(
          ['FILE', 'BYTES', ''],
          made.contents.map((it) => [it.file, String(it.bytes), it.cut ? 'cut' : '']),
        ),
        `${to}: ${formatSize(bytes.length)}`,
      ].join('\n'),
    );
  },
};
