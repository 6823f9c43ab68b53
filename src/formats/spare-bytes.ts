import { FormatError } from './format-error.ts';

/**
 * Bytes that a format reserves for later releases: a value other than zero is damage, or comes from such a release.
 */
export function checkZero(
  bytes: Uint8Array,
  { from, to }: { readonly from: number; readonly to: number },
  where: string,
): void {
  for (let at = from; at < to; at++) {
    if (bytes[at] === 0) continue;
    throw new FormatError('CORRUPT', `${where}: byte ${at} is ${bytes[at]}, and must be zero`);
  }
}
