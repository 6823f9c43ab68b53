import { FormatError } from './format-error.ts';

/** Bytes that a format keeps for later releases: something else than zero is damage, or a release that means it. */
export function checkZero(
  bytes: Uint8Array,
  { from, to }: { readonly from: number; readonly to: number },
  where: string,
): void {
  for (let at = from; at < to; at++) {
    if (bytes[at] === 0) continue;
    throw new FormatError('CORRUPT', `${where}: byte ${at} is ${bytes[at]}, and has to be zero`);
  }
}
