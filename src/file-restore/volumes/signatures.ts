import { GranularError } from '../base/file-restore-error.ts';
import { printable } from '../../lib/printable.ts';
import { PARSER_MEMORY_MAX, runProgram } from '../base/programs.ts';

/*
 * Signatures that blkid recognizes on a disk or a partition, by low-level probing. It names one file system or
 * container and one partition table; it cannot say which of the two a guest uses.
 */

/** blkid's names: `ID_FS_TYPE`, `ID_PART_TABLE_TYPE` and so on; `SEVERAL` where it cannot decide. */
export type Signatures = Readonly<Record<string, string>>;

const PROBE_MS = 60_000;
const NOTHING_FOUND = 2;
const AMBIVALENT = 8;

/** Rejects UNREADABLE if it is missing or cannot be read. */
export async function probe(path: string, signal?: AbortSignal): Promise<Signatures> {
  const options = { timeoutMs: PROBE_MS, memoryMax: PARSER_MEMORY_MAX, ...(signal && { signal }) };
  const { code, stdout, stderr } = await runProgram(
    'blkid',
    ['-p', '-o', 'udev', '--', path],
    options,
  );
  if (code === AMBIVALENT) return { SEVERAL: await signatures(path, options) };
  if (code === NOTHING_FOUND) {
    const isGone = (await runProgram('stat', ['--', path], options)).code !== 0;
    if (isGone) throw new GranularError('UNREADABLE', `${path} does not exist`);
    return {};
  }
  if (code !== 0) {
    throw new GranularError('UNREADABLE', `blkid cannot read ${path}: ${printable(stderr.trim())}`);
  }
  const lines = stdout.toString('latin1').split('\n');
  return Object.fromEntries(
    lines.flatMap((line) => {
      const at = line.indexOf('=');
      return at > 0 ? [[line.slice(0, at), line.slice(at + 1)] as const] : [];
    }),
  );
}

async function signatures(
  path: string,
  options: { readonly timeoutMs: number; readonly memoryMax: number },
): Promise<string> {
  const { stdout } = await runProgram('wipefs', ['--json', '--no-act', '--', path], options);
  const types = [...stdout.toString().matchAll(/"type":\s*"([A-Za-z0-9_ -]{1,32})"/g)];
  return [...new Set(types.map((it) => it[1]!))].join(', ') || 'blkid does not say which';
}

/** Decodes blkid's \xHH; `text` has one character per byte. */
export function decoded(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const bytes = text.replace(/\\x([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return printable(Buffer.from(bytes, 'latin1').toString('utf8'));
}
