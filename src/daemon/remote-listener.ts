import { parseListenAddress } from '../engine/base/listen-address.ts';
import { remoteApi, type RemoteApiOptions } from '../engine/server/remote-api.ts';
import { openTokens, type Tokens } from '../engine/secrets/tokens.ts';
import { wrongTokens } from '../engine/secrets/wrong-tokens.ts';
import { assert } from '../lib/assert.ts';
import { asError } from '../lib/as-error.ts';
import { FormatError } from '../formats/format-error.ts';
import { type HttpsServer, serveHttps } from '../sys/net/http-server.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { checkX509, datesProblem, type X509Credentials } from '../sys/net/tls-credentials.ts';
import type { World } from '../sys/world.ts';
import type { Log } from './log.ts';
import type { Settings } from './settings.ts';

/** The API for other hosts, if the settings enable it. */
export interface RemoteListener extends AsyncDisposable {
  /** Rejects FAILED if other hosts are not served. */
  tokens(): Promise<Tokens>;
  /**
   * Applies the current settings; a certificate is read again. Never rejects: errors are logged, because guests and
   * this machine are served anyway. Resolves with the reason if the settings could not be applied; undefined: they
   * were.
   */
  apply(listen: Settings['listen']): Promise<string | undefined>;
}

export interface RemoteListenerOptions {
  readonly world: World;
  readonly log: Log;
  /** The default file of tokens. */
  readonly tokens: string;
  readonly api: Omit<RemoteApiOptions, 'tokens' | 'wrong'>;
  /** Records a refused client. */
  readonly note: (words: string) => Promise<void>;
}

const PEM_LENGTH_MAX = 1024 * 1024;

interface Open extends AsyncDisposable {
  readonly address: string;
  readonly server: HttpsServer;
}

export function remoteListener({
  world,
  log,
  tokens,
  api,
  note,
}: RemoteListenerOptions): RemoteListener {
  const wrong = wrongTokens(world.clock, note);
  let opened: { readonly path: string; readonly tokens: Tokens } | undefined;
  let open: Open | undefined;

  async function close(): Promise<void> {
    const it = open;
    open = undefined;
    await it?.[Symbol.asyncDispose]();
  }
  async function forget(): Promise<void> {
    const it = opened;
    opened = undefined;
    await it?.tokens[Symbol.asyncDispose]();
  }
  async function listen(at: NonNullable<Settings['listen']>): Promise<void> {
    const { tokens: path = tokens } = at;
    if (opened?.path !== path) {
      const next = { path, tokens: await openTokens(world, path) };
      await close();
      await forget();
      opened = next;
    }
    const credentials = await readCredentials(world, at, (it) => log('warning', `"listen": ${it}`));
    if (open?.address === at.address) return open.server.renew(credentials);
    await close();
    const place = parseListenAddress(`tcp:${at.address}`);
    assert(place.kind === 'tcp', 'the settings have a host and a port');
    const server = await serveHttps({
      ...{ at: place, credentials },
      onRequest: remoteApi({ ...api, wrong, tokens: opened.tokens }),
      onError(error) {
        throw error;
      },
    });
    open = {
      address: at.address,
      server,
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
    log('notice', `other hosts are served at ${place.host}, port ${server.port}`);
  }
  return {
    async tokens() {
      if (opened) return opened.tokens;
      const what = 'the service does not listen for other hosts: see "listen" in its settings';
      throw new SystemError('FAILED', what);
    },
    async apply(at) {
      if (!at) {
        await close();
        await forget();
        return undefined;
      }
      try {
        await listen(at);
        return undefined;
      } catch (cause) {
        if (!(cause instanceof SystemError || cause instanceof FormatError)) throw cause;
        const problem = `"listen" of the settings is not served: ${asError(cause).message}`;
        log('error', problem);
        return problem;
      }
    },
    async [Symbol.asyncDispose]() {
      // First the clients that wait for their refusal.
      await wrong[Symbol.asyncDispose]();
      await close();
      await forget();
    },
  };
}

async function readCredentials(
  { files, clock }: World,
  { certificate, key }: NonNullable<Settings['listen']>,
  onDates: (problem: string) => void,
): Promise<X509Credentials> {
  const credentials: X509Credentials = {
    kind: 'x509',
    key: await files.readFile(key, PEM_LENGTH_MAX),
    certificate: await files.readFile(certificate, PEM_LENGTH_MAX),
    authority: undefined,
  };
  const names = { key, certificate, authority: '' };
  checkX509(credentials, names);
  const problem = datesProblem(credentials, names, clock.now());
  if (problem !== undefined) onDates(problem);
  return credentials;
}
