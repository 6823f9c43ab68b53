import type { FileSystem } from '../../sys/files/file-system.ts';
import type { RunProgram } from './programs.ts';

/** The machine on which this room works; tests pass in others. */
export interface Machine {
  readonly files: FileSystem;
  readonly run: RunProgram;
}
