import { fstatSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { systemError } from '../base/system-error.ts';

/** The output of this process, in the order in which it was written. */
export interface StandardOutput {
  /**
   * Resolves once the output has been passed on. Rejects SystemError: NO_SPACE on a full disk, UNREACHABLE if the
   * reader has gone.
   */
  write(what: string | Uint8Array): Promise<void>;
}

const STDOUT = 1;

export function standardOutput(): StandardOutput {
  const { stdout } = process;
  if (isDescriptorOfFile()) return { write: writeToFile };
  // Each write reports its own errors.
  stdout.on('error', () => {});
  return {
    write: (what) =>
      new Promise((resolve, reject) => {
        stdout.write(what, (cause) => (cause ? reject(failed(cause)) : resolve()));
      }),
  };
}

/** Node writes such a file once and does not check how much was written: a full disk takes only a part. */
async function writeToFile(what: string | Uint8Array): Promise<void> {
  const bytes = typeof what === 'string' ? Buffer.from(what) : what;
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(STDOUT, bytes, at);
  } catch (cause) {
    throw failed(cause);
  }
}

function isDescriptorOfFile(): boolean {
  if (isatty(STDOUT)) return false;
  const stat = fstatSync(STDOUT);
  // A device such as /dev/full behaves like a file.
  return stat.isFile() || stat.isCharacterDevice();
}

function failed(cause: unknown) {
  return systemError(cause, 'write to standard output');
}
