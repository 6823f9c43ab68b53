import type { File } from '../../sys/files/file-system.ts';
import { SystemError } from '../../sys/base/system-error.ts';

/*
 * QEMU holds bytes of each image that it has open (block/file-posix.c): from 100 on one for each kind of access that
 * it has, from 200 on one for each kind that it denies to others. Reading an image that a virtual machine writes to
 * yields a mixture of old and new data, which not even a journal can repair.
 */
const DOES = 100;
const DENIES = 200;
const READ = 0;
const WRITE = 1;
const RESIZE = 3;

/**
 * Rejects BUSY if a virtual machine may write to the file, and prevents one from starting with it, as qemu-img does,
 * until `file` is closed.
 */
export function readAlone(file: File): void {
  for (const byte of [DOES + READ, DENIES + WRITE, DENIES + RESIZE]) file.holdByte(byte);
  if (isBeingWritten(file) || file.isByteHeld(DENIES + READ)) {
    throw new SystemError(
      'BUSY',
      `${file.path} is in use: a virtual machine has it open for writing, and a copy would be torn. Shut the machine ` +
        'down, or back up a snapshot of the disk, or what QEMU exports over NBD',
    );
  }
}

/** Whether a virtual machine has it open for writing. */
export function isBeingWritten(file: File): boolean {
  return [DOES + WRITE, DOES + RESIZE].some((byte) => file.isByteHeld(byte));
}
