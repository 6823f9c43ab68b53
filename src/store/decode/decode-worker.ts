import type { DomainKeys } from '../../formats/store/packs/frame.ts';
import { systemClock } from '../../sys/base/clock.ts';
import { realFileSystem } from '../../sys/files/real-file-system.ts';
import { workerSide } from '../../sys/process/worker-thread.ts';
import { ringReceiver } from './decode-ring.ts';
import { decodeInto } from './decoder.ts';
import { packReads } from '../packs/pack-reads.ts';

/** The start data of a decode worker. Later domains come as messages, before their first job. */
export interface DecodeWorkerData {
  readonly ring: SharedArrayBuffer;
  readonly arena: SharedArrayBuffer;
  readonly packs: string;
  readonly worker: number;
}

export interface DomainMessage {
  readonly domain: number;
  readonly keys: DomainKeys;
}

const side = workerSide<DomainMessage, 'ready'>();
const { ring, arena, packs: directory, worker } = side.data as DecodeWorkerData;
const { readBlocking, handles } = packReads(realFileSystem(), directory, systemClock());
const domains = new Map<number, DomainKeys>();

/** This thread sleeps on the ring, not in its event loop: messages are fetched when needed. */
function keysOf(domain: number): DomainKeys {
  for (let message = side.receive(); message; message = side.receive()) {
    domains.set(message.domain, message.keys);
  }
  return domains.get(domain)!;
}

const decode = decodeInto(arena, readBlocking, keysOf);
const receiver = ringReceiver(ring, worker);
side.post('ready');
for (let job = receiver.take(); job !== undefined; job = receiver.take()) {
  receiver.complete(job, await decode(receiver.job(job)));
}
await handles[Symbol.asyncDispose]();
