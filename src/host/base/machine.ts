import type { FileSystem } from '../../sys/files/file-system.ts';
import type { RunProgram } from './programs.ts';

/** The machine as this room works on it; tests hand in others. */
export interface Machine {
  readonly files: FileSystem;
  readonly run: RunProgram;
}
