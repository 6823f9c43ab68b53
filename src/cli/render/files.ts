import { copiedText } from './file-lines.ts';
import { formatSize } from '../../lib/sizes.ts';
import { printable } from '../../lib/printable.ts';
import type { ResultOf } from '../../operations/operations.ts';
import type { Renders } from './render.ts';

export const render = { 'files/copy': copiedText, 'files/put': putText } satisfies Renders;

function putText({ machine, path, size, sha256, replaced, lost }: ResultOf<'files/put'>): string {
  const how = replaced ? 'replaced' : 'written';
  const text = `${printable(path)} of ${machine} is ${how}: ${formatSize(size)}, read back and compared.`;
  const lines = lost.map((it) => `\n  ${printable(it)}`).join('');
  const short = lines === '' ? '' : `\nNot everything was possible:${lines}`;
  return `${text}\nSHA-256 ${sha256}${short}`;
}
