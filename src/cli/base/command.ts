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

/** The command line cannot be understood. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The job that was waited for did not succeed. */
export class JobFailed extends Error {
  override readonly name = 'JobFailed';
}

/** Something that was tried does not work. */
export class CheckFailed extends Error {
  override readonly name = 'CheckFailed';
}

/** What the given key would have shown was not looked at. */
export class KeyDoesNotFit extends Error {
  override readonly name = 'KeyDoesNotFit';
}

/** The command did what it was asked to, and what it found is bad. */
export class DamageFound extends Error {
  override readonly name = 'DamageFound';
}
