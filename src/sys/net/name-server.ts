import { Resolver } from 'node:dns/promises';

/** With these codes a name server did answer: it could not, or would not, answer this question. */
const ANSWERS: readonly string[] = ['ENODATA', 'ENOTFOUND', 'ESERVFAIL', 'EREFUSED', 'ENOTIMP'];

/** Whether a name server answers at all, and otherwise why not. */
export async function askNameServer(
  address: string,
  timeoutMs: number,
): Promise<{ readonly ok: boolean; readonly detail: string }> {
  try {
    const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
    resolver.setServers([address]);
    await resolver.resolveNs('.');
    return { ok: true, detail: 'answers' };
  } catch (cause) {
    const { code = 'it failed' } = cause as NodeJS.ErrnoException;
    if (ANSWERS.includes(code)) return { ok: true, detail: `answers with ${code}` };
    return { ok: false, detail: code === 'ETIMEOUT' ? 'does not answer' : code };
  }
}
