import { assert } from '../../lib/assert.ts';
import type { HttpRequest } from '../../sys/net/http-server.ts';
import { admit, type HttpApiOptions, refuse } from './http-api.ts';
import type { Tokens } from '../secrets/tokens.ts';
import type { WrongTokens } from '../secrets/wrong-tokens.ts';

export interface RemoteApiOptions extends Omit<HttpApiOptions, 'access'> {
  readonly tokens: Tokens;
  readonly wrong: WrongTokens;
}

const BEARER = /^Bearer +(\S+)$/i;

/**
 * The API of the service for other hosts: each request is authenticated by its token, and no part of it is read
 * before. No header allows pages of other sites to use it (CORS): browsers refuse them.
 */
export function remoteApi(options: RemoteApiOptions): (http: HttpRequest) => Promise<void> {
  const { tokens, wrong } = options;
  return async (http) => {
    assert(http.remote, 'requests to this API come from other hosts');
    const { address, authorization } = http.remote;
    const shown = BEARER.exec(authorization)?.[1];
    const valid = shown === undefined ? undefined : tokens.find(shown);
    if (!valid) {
      await wrong.tried(address, http.signal);
      return refuse(http, 401, 'a valid token is needed: see "holdfast token create"');
    }
    const { name, may, files, ended } = valid;
    await admit({ ...http, signal: AbortSignal.any([http.signal, ended]) }, options, {
      who: { token: name, address },
      access: may === 'manage' ? 'change' : 'view',
      mayNameFiles: files,
    });
  };
}
