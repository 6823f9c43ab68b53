import { processSide } from '../../sys/process/own-process.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { storeHandlers } from '../operations/store-handlers.ts';
import type { StoreContext } from '../operations/context.ts';
import type { ResultOf, WorkerOperationName } from '../../operations/operations.ts';
import { ownHypervisors } from '../hypervisors/own-hypervisors.ts';
import { type GivenSecret, openEngine, type SecretSource } from '../base/engine.ts';
import { secretsAmong } from '../secrets/secret-files.ts';
import {
  failureOf,
  type FromWorker,
  type ToWorker,
  toldFailure,
  type Work,
} from './worker-messages.ts';

/* The process that runs a long operation: `run-in-worker.ts` started it. */

const side = processSide<ToWorker, FromWorker>();
const abort = new AbortController();
const asked = new Map<string, PromiseWithResolvers<GivenSecret | undefined>>();

const secrets: SecretSource = (set, when) => {
  const answer = asked.get(set) ?? Promise.withResolvers<GivenSecret | undefined>();
  asked.set(set, answer);
  side.post({ kind: 'secret?', set, when });
  return answer.promise;
};

let turn = Promise.withResolvers<void>();

/** One at a time. */
async function giveWay(): Promise<void> {
  turn = Promise.withResolvers();
  side.post({ kind: 'give way?' });
  await turn.promise;
}

function hear(message: ToWorker): void {
  if (message.kind === 'go on') turn.resolve();
  else if (message.kind === 'abort') abort.abort(new SystemError('FAILED', 'it was interrupted'));
  else if (message.kind === 'secret') asked.get(message.set)?.resolve(message.secret);
  else if (message.kind === 'no secret') {
    asked.get(message.set)?.reject(failureOf(message.failure));
  }
}

function perform<N extends WorkerOperationName>(
  { name, request }: Work<N>,
  context: StoreContext,
): Promise<ResultOf<N>> {
  return storeHandlers(context)[name](request, {
    ...{ given: undefined, who: undefined },
    ...{ secrets, giveWay },
    signal: abort.signal,
    report: (event) => side.post({ kind: 'event', event }),
  });
}

async function run(message: ToWorker): Promise<void> {
  if (message.kind !== 'start') return;
  const { store, indexMemory, work, secretFiles } = message;
  try {
    await using engine = await openEngine(store, { indexMemory });
    const result = await perform(work, {
      engine: async () => engine,
      hypervisors: ownHypervisors,
      isSecret: await secretsAmong(secretFiles),
      service: undefined,
    });
    side.post({ kind: 'done', result });
  } catch (error) {
    const failure = toldFailure(error);
    if (!failure) throw error;
    side.post({ kind: 'failed', failure });
  }
}

side.leaveSignals();
side.stepBack();
side.onOrphaned(() => abort.abort(new SystemError('FAILED', 'the service has ended')));
const first = side.receive();
side.listen(hear);
await run(await first);
side.close();
