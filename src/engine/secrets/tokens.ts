import { dirname } from 'node:path/posix';
import { checkName } from '../../catalog/names.ts';
import {
  decodeTokens,
  encodeTokens,
  TOKEN_LENGTH,
  tokenHash,
  tokenOfHash,
  type TokenRecord,
  TOKENS_MAX,
  tokenText,
} from '../../formats/store/service/tokens.ts';
import { turns } from '../../lib/mutex.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { ticker } from '../../sys/base/ticker.ts';
import type { World } from '../../sys/world.ts';

/** Access for clients on other hosts. Disposing ends no requests, but expiry is no longer watched. */
export interface Tokens extends AsyncDisposable {
  /** The only time that the token's text is returned. */
  create(request: RequestOf<'token/create'>): Promise<ResultOf<'token/create'>>;
  list(): ResultOf<'token/list'>;
  /** Ends the requests that use it. Rejects NOT_FOUND. */
  revoke(name: string): Promise<ResultOf<'token/revoke'>>;
  revokeAll(): Promise<void>;
  /** Undefined: not a token, or no longer valid. */
  find(text: string): ValidToken | undefined;
}

export interface ValidToken extends Pick<TokenRecord, 'name' | 'may' | 'files'> {
  /** Aborted when the token is revoked, or has expired. */
  readonly ended: AbortSignal;
}

/** The default file, in the directory of the box. */
export const TOKENS_FILE = 'tokens.json';
const LENGTH_MAX = 1024 * 1024;
const DAY_MS = 86_400_000;
/** How much longer a request may continue after its token has expired. */
const LOOK_EVERY_MS = 10_000;

/** Rejects FormatError, IO: an unreadable file gives no access. */
export async function openTokens({ files, clock, random }: World, path: string): Promise<Tokens> {
  const turn = turns();
  let tokens = (await files.stat(path)) ? decodeTokens(await files.readFile(path, LENGTH_MAX)) : [];
  const ending = new Map<string, AbortController>();
  async function put(next: readonly TokenRecord[]): Promise<void> {
    const directory = dirname(path);
    if (!(await files.stat(directory))) {
      await files.makeDirectory(directory);
      await files.syncDirectory(dirname(directory));
    }
    await putDurably(files, path, encodeTokens(next));
    tokens = next;
  }
  const isOver = ({ expires }: TokenRecord): boolean =>
    expires !== undefined && Date.parse(expires) <= clock.now().getTime();
  function endingOf(name: string): AbortController {
    const known = ending.get(name) ?? new AbortController();
    ending.set(name, known);
    return known;
  }
  function end(name: string, how: string): void {
    ending.get(name)?.abort(new SystemError('DENIED', `token "${name}" ${how}`));
    ending.delete(name);
  }
  // By the wall clock, which may be set: a timer could not wait for a date.
  const ticks = ticker(clock, () => {
    for (const token of tokens) if (isOver(token)) end(token.name, 'has expired');
    return LOOK_EVERY_MS;
  });
  ticks.start();
  return {
    create: ({ token: name, may, files: mayNameFiles, expiresDays }) =>
      turn(async () => {
        checkName(name, 'token');
        if (tokens.some((it) => it.name === name)) {
          throw new SystemError('EXISTS', `there is a token "${name}": revoke it first`);
        }
        if (tokens.length >= TOKENS_MAX) {
          throw new SystemError('FAILED', `there are ${TOKENS_MAX} tokens: revoke some`);
        }
        const text = tokenText(random.bytes(TOKEN_LENGTH));
        const now = clock.now();
        const made: TokenRecord = {
          ...{ name, may, files: mayNameFiles, created: now.toISOString() },
          expires:
            expiresDays === undefined
              ? undefined
              : new Date(now.getTime() + expiresDays * DAY_MS).toISOString(),
          hash: tokenHash(text)!,
        };
        await put([...tokens, made]);
        return { ...summaryOf(made, false), secret: text };
      }),
    list: () => ({ tokens: tokens.map((it) => summaryOf(it, isOver(it))) }),
    revoke: (name) =>
      turn(async () => {
        if (!tokens.some((it) => it.name === name)) {
          throw new SystemError('NOT_FOUND', `there is no token "${name}"`);
        }
        await put(tokens.filter((it) => it.name !== name));
        end(name, 'was revoked');
        return { token: name, revoked: true };
      }),
    revokeAll: () =>
      turn(async () => {
        await put([]);
        for (const name of [...ending.keys()]) end(name, 'was revoked');
      }),
    find(text) {
      const hash = tokenHash(text);
      const found = hash && tokenOfHash(tokens, hash);
      if (!found || isOver(found)) return undefined;
      const { name, may, files: mayNameFiles } = found;
      return { name, may, files: mayNameFiles, ended: endingOf(name).signal };
    },
    [Symbol.asyncDispose]: () => ticks[Symbol.asyncDispose](),
  };
}

function summaryOf(token: TokenRecord, expired: boolean): ResultOf<'token/list'>['tokens'][number] {
  const { name, may, files, created, expires = null } = token;
  return { token: name, may, files, created, expires, expired };
}
