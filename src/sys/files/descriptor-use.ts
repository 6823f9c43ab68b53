import { closeSync } from 'node:fs';
import { SystemError } from '../base/system-error.ts';

/**
 * The kernel gives the number of a descriptor that was closed to the next file. So none is closed while a thread is at
 * work with it, and nothing is done with one that is closed: bytes would come from, or go to, another file.
 */
export interface DescriptorUse {
  /** Throws IO where it is closed. */
  checkOpen(): void;
  /** As `checkOpen`; from now until `end` a thread is at work with it. */
  begin(): void;
  end(): void;
  during<T>(work: () => Promise<T>): Promise<T>;
  /** Waits for those that are at work. */
  close(): Promise<void>;
}

export function descriptorUse(path: string, fd: number): DescriptorUse {
  let isOpen = true;
  let underWay = 0;
  let onIdle = (): void => {};

  function checkOpen(): void {
    if (!isOpen) throw new SystemError('IO', `${path} is closed already`);
  }
  function begin(): void {
    checkOpen();
    underWay++;
  }
  function end(): void {
    underWay--;
    if (underWay === 0) onIdle();
  }
  return {
    checkOpen,
    begin,
    end,
    async during(work) {
      begin();
      try {
        return await work();
      } finally {
        end();
      }
    },
    async close() {
      if (!isOpen) return;
      isOpen = false;
      if (underWay > 0) await new Promise<void>((resolve) => (onIdle = resolve));
      closeSync(fd);
    },
  };
}
