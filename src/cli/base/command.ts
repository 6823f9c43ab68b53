import type { Engine, SecretSource } from '../../engine/base/engine.ts';
import type { NameKind } from '../../lib/schema.ts';
import type { HttpServerPlace } from '../../sys/net/http-place.ts';
import type { Calls } from './client.ts';
import type { Output } from './output.ts';
import type { SecretOptions } from './secrets.ts';

/** An argument or an option, as the parser, help, completion and the manual page use it. */
export interface Row {
  /** An option's name without dashes; for an argument, the same as its placeholder. */
  readonly name: string;
  readonly kind: 'flag' | 'value' | 'list';
  /** The placeholder of the value; empty for a flag. */
  readonly placeholder: string;
  readonly description: string;
  readonly isRequired: boolean;
  /** Words that completion offers literally. */
  readonly words: readonly string[];
  /** Kinds of which completion offers the existing names. */
  readonly names: readonly NameKind[];
  /** Whether completion offers files. */
  readonly files: boolean;
  /** Only valid with --queue. */
  readonly withQueue?: boolean;
}

/** One command of `holdfast`, loaded on demand. */
export interface Command {
  readonly summary: string;
  /** Paragraphs for people to read before use. */
  readonly about: readonly string[];
  readonly args: readonly Row[];
  readonly options: readonly Row[];
  /** Command lines, without the program's name. */
  readonly examples: readonly [string, ...string[]];
  /** Called before any file or descriptor that the command line names is read: here a process may start again. */
  prepare?(): Promise<void>;
  run(input: Input, context: Context): Promise<void>;
}

export interface Input {
  readonly args: readonly string[];
  /** Whether the option was given. */
  has(option: string): boolean;
  /** The value of an option. */
  text(option: string): string | undefined;
  texts(option: string): readonly string[];
  flag(option: string): boolean;
  /** Throws UsageError if it is missing. */
  required(option: string): string;
}

export interface Context extends Calls {
  readonly output: Output;
  /** The store of `--store` or HOLDFAST_STORE, open; closed when the command has ended. */
  engine(): Promise<Engine>;
  /** The service that the command line or HOLDFAST_SOCKET names. */
  readonly named: HttpServerPlace | undefined;
  /** The value of `--store`, for the command that creates one. */
  readonly storeDirectory: string | undefined;
  readonly secrets: SecretSource;
  /** Whether the command line, or systemd, provided a secret. */
  readonly hasSecret: boolean;
  /** For a command that asks for several secrets, in its own order. */
  readonly secretOptions: SecretOptions;
  /** Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
}
