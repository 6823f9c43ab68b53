import { keepProof } from '../../catalog/proofs.ts';
import { MiB } from '../../lib/sizes.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import type { AskedProof } from '../../sessions/proof/prove.ts';
import type { Store } from '../../store/directory/store.ts';
import { ownRelease } from '../base/release.ts';
import { proofOf } from '../points/shown-proof.ts';
import { checkScripts, scriptRunner } from './script-runner.ts';
import { type Engine, openPoint, type WorkOptions } from '../base/engine.ts';

type Request = RequestOf<'verify/point'>;

/** Boots a recovery point in isolation, and keeps what that has shown with the point. */
export async function verifyPoint(
  engine: Engine,
  request: Request,
  { secrets, signal, report }: WorkOptions,
): Promise<ResultOf<'verify/point'>> {
  const { store, guestMemory: memory } = engine;
  const { set, point } = await openPoint(engine, request.point, secrets);
  await checkScripts(store, request.script);
  const { prove } = await import('../../sessions/proof/prove.ts');
  await using borrowed = await engine.reader();
  const { reader } = borrowed;
  const result = await prove(store, {
    ...{ set, point, reader, memory, signal, asked: askedBy(request) },
    runScript: scriptRunner(store, { set: set.name, point }),
    onStep: (message) => report({ event: 'notice', message }),
  });
  await keepProof(store, set, point, result, await ownRelease());
  const shown = { screenshot: request.screenshot, picture: false, serial: false };
  return await proofOf(engine, { set, point }, shown);
}

/** Removes what killed processes have left; returns of how many boots that was. */
export async function sweepVerifications(store: Store): Promise<number> {
  return (await import('../../sessions/proof/proof-place.ts')).sweepProofs(store);
}

type AskedOf = Omit<Request, 'point' | 'screenshot' | 'script'> & Partial<Pick<Request, 'script'>>;

/** What a boot has to show, as operations ask for it. */
export function askedBy({ timeout, memory, accel, firmware, ...checks }: AskedOf): AskedProof {
  return {
    timeoutMs: timeout * 1000,
    memoryBytes: memory === undefined ? undefined : memory * MiB,
    accelerator: accel,
    firmware,
    checks: {
      agent: checks.agent,
      texts: checks.text,
      screen: checks.screen,
      ports: checks.port,
      http: checks.http.map(httpCheck),
      scripts: checks.script ?? [],
    },
  };
}

/** `80/health`, `https:443`. The declaration has checked its form. */
function httpCheck(text: string): AskedProof['checks']['http'][number] {
  const [, protocol = 'http', port, path = '/'] = /^(?:(https?):)?(\d+)(\/.*)?$/s.exec(text) ?? [];
  return { protocol: protocol === 'https' ? 'https' : 'http', port: Number(port), path };
}
