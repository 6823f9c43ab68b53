import { closeSync } from 'node:fs';
import { SystemError } from '../base/system-error.ts';

/**
 * The kernel reuses the number of a closed descriptor for the next file. So a descriptor is not closed while a thread
 * works with it, and a closed one is not used: bytes would come from, or go to, another file.
 */
export interface DescriptorUse {
  /** Throws IO if it is closed. */
  checkOpen(): void;
  /** As `checkOpen`; a thread works with it from now until `end`. */
  begin(): void;
  end(): void;
  during<T>(work: () => Promise<T>): Promise<T>;
  /** Waits for the threads that work with it. */
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
