import { execFileSync } from 'node:child_process';
import { constants, openSync, readSync, unlinkSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path/posix';
import type { Writable } from 'node:stream';

/*
 * The output of a script. What Node and systemd-run give a process to write to is a socket, and /dev/stdout and
 * /dev/stderr of a process cannot be opened if they are one (ENXIO): many scripts of shells do that. A pipe that this
 * user has made can be.
 */

export interface OutputPipe {
  /** The descriptor for the script. */
  readonly writing: number;
  /** Once the script has ended: passes on what is left, and these words, and calls back. Others may still write. */
  end(words: string, onWritten: () => void): void;
}

/** What a pipe holds at most: pipe(7). */
const PIPE_BYTES = 64 * 1024;

export function outputPipe(to: Writable): OutputPipe {
  const path = join(tmpdir(), 'output');
  execFileSync('mkfifo', ['-m', '600', path]);
  const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants;
  const reading = openSync(path, O_RDONLY | O_NONBLOCK);
  const writing = openSync(path, O_WRONLY);
  unlinkSync(path);
  const from = new Socket({ fd: reading, readable: true, writable: false });
  from.pipe(to, { end: false });
  return {
    writing,
    end(words, onWritten) {
      from.unpipe(to);
      const held = (from.read() as Buffer | null) ?? Buffer.alloc(0);
      to.write(Buffer.concat([held, leftIn(reading), Buffer.from(words)]), onWritten);
    },
  };
}

function leftIn(pipe: number): Buffer {
  const bytes = Buffer.alloc(PIPE_BYTES);
  let length = 0;
  try {
    while (length < bytes.length) {
      const read = readSync(pipe, bytes, length, bytes.length - length, null);
      if (read === 0) break;
      length += read;
    }
  } catch {
    // It is empty, and another process may still write to it (EAGAIN).
  }
  return bytes.subarray(0, length);
}
