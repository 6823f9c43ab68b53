import type { Row } from './command.ts';
import { UsageError } from './command-errors.ts';

/* Arguments and options of commands that are written by hand. */

type More = Partial<Pick<Row, 'kind' | 'isRequired' | 'words' | 'names' | 'files'>>;

export function flag(name: string, description: string): Row {
  return row(name, '', description, { kind: 'flag' });
}

export function option(name: string, placeholder: string, description: string, more?: More): Row {
  return row(name, placeholder, description, more);
}

export function argument(placeholder: string, description: string, more?: More): Row {
  return row(placeholder, placeholder, description, { isRequired: true, ...more });
}

const FILES = /(^|[|=])(FILE|DIR|DIRECTORY|PATH|IMAGE|DEVICE)\b/;

function row(name: string, placeholder: string, description: string, more: More = {}): Row {
  return {
    ...{ name, placeholder, description, kind: 'value', isRequired: false },
    ...{ words: [], names: [], files: FILES.test(placeholder), ...more },
  };
}

/** `--last N`, `PATH...` */
export function signature({ name, kind, placeholder }: Row): string {
  return kind === 'flag' ? `--${name}` : `--${name} ${placeholder}`;
}

/** The part after the command's words, in the order in which people write it. */
export function usageOf(args: readonly Row[], options: readonly Row[]): string {
  const places = args.map(({ placeholder, kind, isRequired }) => {
    const place = kind === 'list' ? `${placeholder}...` : placeholder;
    return isRequired ? place : `[${place}]`;
  });
  const required = options.filter(({ isRequired }) => isRequired).map(signature);
  const isMore = options.length > required.length;
  return [...places, ...required, ...(isMore ? ['[options]'] : [])].join(' ');
}

/** The options of every command. */
export const GENERAL: readonly Row[] = [
  option('store', 'DIR', 'the store; default: HOLDFAST_STORE'),
  option(
    'socket',
    'PATH',
    'the service to ask; default: HOLDFAST_SOCKET, else /run/holdfast/control.sock if it has that store. ' +
      'Without a service the command itself does the work',
  ),
  option('server', 'https://HOST:PORT', 'the service of another host, over TLS 1.3; needs a token'),
  option('token-file', 'FILE', 'file with the token that "token create" showed there'),
  option(
    'cafile',
    'FILE',
    'certificates (PEM) of its authority; default: those that this host trusts',
  ),
  flag('json', 'one object, or one event per line, on stdout'),
  option('passphrase-file', 'FILE', 'a file whose first line opens an encrypted set'),
  option('passphrase-fd', 'N', 'read from a descriptor'),
  option(
    'recovery-key-file',
    'FILE',
    'instead of the passphrase; default: the systemd credential "holdfast-passphrase", else a prompt',
  ),
  option(
    'passkey-file',
    'FILE',
    'a file whose first line is the passkey of a set that has one; default: a prompt',
  ),
  option('passkey-fd', 'N', 'read from a descriptor'),
];

/** One of `words`; default: the first. Throws UsageError. */
export function chosen<const T extends string>(
  given: string | undefined,
  name: string,
  words: readonly [T, ...T[]],
): T {
  const found = words.find((it) => it === (given ?? words[0]));
  if (found !== undefined) return found;
  throw new UsageError(`--${name}: one of ${words.join(', ')}`);
}
