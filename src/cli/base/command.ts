import type { ParseArgsOptionsConfig } from 'node:util';
import type { House, SecretSource } from '../../engine/base/engine.ts';
import type { HttpServerPlace } from '../../sys/net/http-place.ts';
import type { Calls } from './client.ts';
import type { Output } from './output.ts';

/** One command of `holdfast`, in a file of its own that is loaded only when it is wanted. */
export interface Command {
  /** After the command's words: `SET --machine NAME`. */
  readonly usage: string;
  /** What a person should know; one line each. */
  readonly details: readonly string[];
  readonly options: ParseArgsOptionsConfig;
  /** How many arguments it takes. */
  readonly takes: readonly [min: number, max: number];
  /** Before any file or descriptor that the command line names is read: here a process may begin anew. */
  prepare?(): Promise<void>;
  run(input: Input, context: Context): Promise<void>;
}

export interface Input {
  readonly args: readonly string[];
  /** Whether the option was given at all. */
  has(option: string): boolean;
  /** Values by option. */
  text(option: string): string | undefined;
  texts(option: string): readonly string[];
  flag(option: string): boolean;
  /** Throws UsageError where it is missing. */
  required(option: string): string;
}

export interface Context extends Calls {
  readonly output: Output;
  /** The store of `--store` or HOLDFAST_STORE, open; closed when the command has ended. */
  house(): Promise<House>;
  /** The service that the command line or HOLDFAST_SOCKET names. */
  readonly named: HttpServerPlace | undefined;
  /** As `--store` says, for the command that makes one. */
  readonly storeDirectory: string | undefined;
  readonly secrets: SecretSource;
  /** Whether the command line, or systemd, brought a secret. */
  readonly hasSecret: boolean;
  /** Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
}

/** A command by its words; the rest is loaded when it is wanted, for a quick start. */
export interface CommandEntry {
  readonly words: readonly string[];
  readonly summary: string;
  load(): Promise<Command>;
}
