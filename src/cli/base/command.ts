import type { House, SecretSource } from '../../engine/base/engine.ts';
import type { NameKind } from '../../lib/schema.ts';
import type { HttpServerPlace } from '../../sys/net/http-place.ts';
import type { Calls } from './client.ts';
import type { Output } from './output.ts';

/** An argument or an option: what the parser, help, completion and the manual page go by. */
export interface Row {
  /** Of an option, without its dashes; of an argument, the same as its placeholder. */
  readonly name: string;
  readonly kind: 'flag' | 'value' | 'list';
  /** What stands for the value; empty for a flag. */
  readonly placeholder: string;
  readonly description: string;
  readonly isRequired: boolean;
  /** What completion offers as it is. */
  readonly words: readonly string[];
  /** Of these it offers what there is. */
  readonly names: readonly NameKind[];
  /** Whether it offers files. */
  readonly files: boolean;
  /** Means something with --queue only. */
  readonly withQueue?: boolean;
}

/** One command of `holdfast`, loaded only when it is wanted. */
export interface Command {
  readonly summary: string;
  /** Paragraphs that a person should know. */
  readonly about: readonly string[];
  readonly args: readonly Row[];
  readonly options: readonly Row[];
  /** What follows the program's name. */
  readonly examples: readonly [string, ...string[]];
  /** Before any file or descriptor that the command line names is read: here a process may start again. */
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
