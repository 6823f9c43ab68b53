import { dirname } from 'node:path/posix';
import { checkName } from '../catalog/names.ts';
import {
  decodeTokens,
  encodeTokens,
  TOKEN_LENGTH,
  tokenHash,
  tokenOfHash,
  type TokenRecord,
  TOKENS_MAX,
  tokenText,
} from '../formats/store/tokens.ts';
import { turns } from '../lib/turns.ts';
import type { RequestOf, ResultOf } from '../protocol/operations.ts';
import { putDurably } from '../sys/put-durably.ts';
import { SystemError } from '../sys/system-error.ts';
import type { World } from '../sys/world.ts';

/** Who may ask from other hosts. */
export interface Tokens {
  /** The only time that its text is told. */
  create(request: RequestOf<'token/create'>): Promise<ResultOf<'token/create'>>;
  list(): ResultOf<'token/list'>;
  /** What is under way by it ends. Rejects NOT_FOUND. */
  revoke(name: string): Promise<ResultOf<'token/revoke'>>;
  revokeAll(): Promise<void>;
  /** Undefined: it is none, or not any more. */
  find(text: string): ValidToken | undefined;
}

export interface ValidToken extends Pick<TokenRecord, 'name' | 'may' | 'files'> {
  /** Aborted when it is revoked. */
  readonly revoked: AbortSignal;
}

const LENGTH_MAX = 1024 * 1024;
const DAY_MS = 86_400_000;

/** Rejects FormatError, IO: nobody is let in by a file that cannot be understood. */
export async function openTokens({ files, clock, random }: World, path: string): Promise<Tokens> {
  const turn = turns();
  let tokens = (await files.stat(path)) ? decodeTokens(await files.readFile(path, LENGTH_MAX)) : [];
  const revoking = new Map<string, AbortController>();
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
  function revokingOf(name: string): AbortController {
    const known = revoking.get(name) ?? new AbortController();
    revoking.set(name, known);
    return known;
  }
  function endBy(name: string): void {
    revoking.get(name)?.abort(new SystemError('DENIED', `token "${name}" was revoked`));
    revoking.delete(name);
  }
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
        endBy(name);
        return { token: name, revoked: true };
      }),
    revokeAll: () =>
      turn(async () => {
        await put([]);
        for (const name of [...revoking.keys()]) endBy(name);
      }),
    find(text) {
      const hash = tokenHash(text);
      const found = hash && tokenOfHash(tokens, hash);
      if (!found || isOver(found)) return undefined;
      const { name, may, files: mayNameFiles } = found;
      return { name, may, files: mayNameFiles, revoked: revokingOf(name).signal };
    },
  };
}

function summaryOf(token: TokenRecord, expired: boolean): ResultOf<'token/list'>['tokens'][number] {
  const { name, may, files, created, expires = null } = token;
  return { token: name, may, files, created, expires, expired };
}
