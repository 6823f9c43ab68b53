import type { HttpServerPlace } from '../../sys/net/http-place.ts';
import { readGiven, readSecretFrom } from '../../sys/terminal/terminal.ts';
import type { Input } from './command.ts';
import { UsageError } from './command-errors.ts';

const CERTIFICATES_LENGTH_MAX = 1024 * 1024;

/**
 * The service to use: `--server`, `--socket` or HOLDFAST_SOCKET; undefined: the usual one, if it exists. Throws
 * UsageError.
 */
export function givenService(
  input: Pick<Input, 'text'>,
  socket: string | undefined,
): HttpServerPlace | undefined {
  const [server, tokenFile, cafile] = [
    input.text('server'),
    input.text('token-file'),
    input.text('cafile'),
  ];
  if (server === undefined) {
    if (tokenFile !== undefined || cafile !== undefined) {
      throw new UsageError('--token-file and --cafile go with --server');
    }
    return input.text('socket') ?? socket;
  }
  if (input.text('socket') !== undefined)
    throw new UsageError('give --server or --socket, not both');
  if (tokenFile === undefined) throw new UsageError('--server needs --token-file FILE');
  const token = Buffer.from(readSecretFrom(tokenFile)).toString('utf8').trim();
  if (!/^[\x21-\x7e]+$/.test(token)) throw new UsageError(`${tokenFile} does not contain a token`);
  return {
    ...hostAndPort(server),
    token,
    authority: cafile === undefined ? undefined : readGiven(cafile, CERTIFICATES_LENGTH_MAX),
  };
}

/** Throws UsageError if another host's service was named: its paths are not paths here. */
export function requireHere(named: HttpServerPlace | undefined): void {
  if (typeof named !== 'object') return;
  throw new UsageError(
    `this is done by the command itself, on the host that has the store: run it on ${named.host}, without` +
      ' --server',
  );
}

function hostAndPort(server: string): { readonly host: string; readonly port: number } {
  const url = URL.parse(server);
  const isPlain = url?.pathname === '/' && url.search === '' && url.username === '';
  if (url?.protocol !== 'https:' || !isPlain || url.port === '') {
    throw new UsageError('--server https://HOST:PORT');
  }
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) };
}
