import { orAborted } from '../../../lib/or-aborted.ts';
import type { Hypervisor } from '../../../hypervisors/base/hypervisor.ts';
import { HypervisorError } from '../../../hypervisors/base/hypervisor-error.ts';
import type { HypervisorEvent, RunDriver } from '../../../hypervisors/base/run-driver.ts';
import { SystemError } from '../../../sys/base/system-error.ts';
import { connect } from '../../hypervisors/connect.ts';
import type { Hypervisors } from '../../hypervisors/hypervisors.ts';

/*
 * One connection to each hypervisor for all sessions that have a machine there, opened when it is needed. A session
 * that finds that it does not work reports that, and the next one opens another.
 */
export interface Connections extends AsyncDisposable {
  /** Rejects HypervisorError, or the signal's reason. */
  open(hypervisor: string, signal: AbortSignal): Promise<Connection>;
  /** Closes it, unless another has taken its place already. */
  lost(connection: Connection): Promise<void>;
  /** Closes all that is open to it: no session has a machine there, or it was removed. */
  release(hypervisor: string): Promise<void>;
}

export interface Connection {
  readonly hypervisor: string;
  readonly host: Hypervisor;
  readonly run: RunDriver;
}

interface Opened extends Connection {
  /** What it was connected by. */
  readonly address: string;
}

interface Listening {
  readonly over: AbortController;
  readonly ended: Promise<void>;
}

export interface ConnectionsOptions {
  readonly hypervisors: () => Promise<Hypervisors>;
  /** The ID of the store. */
  readonly owner: string;
  /** Only reasons to look again. Some may be missing, and come again with `back`. */
  readonly onEvent: (hypervisor: string, event: HypervisorEvent) => void;
}

export function openConnections({ hypervisors, owner, onEvent }: ConnectionsOptions): Connections {
  const closing = new AbortController();
  const opening = new Map<string, Promise<Opened>>();
  const opened = new Map<string, Opened>();
  const listening = new Map<string, Listening>();

  async function opens(hypervisor: string): Promise<Opened> {
    try {
      const address = await addressOf(hypervisor);
      const host = await connectTo(hypervisor);
      const { run } = host;
      if (!run) {
        await host[Symbol.asyncDispose]();
        const what = `Holdfast cannot run machines on hypervisor ${hypervisor} (${host.facts.product})`;
        throw new HypervisorError('UNSUPPORTED', `${what}: choose another`);
      }
      const it = { hypervisor, host, run, address };
      opened.set(hypervisor, it);
      if (!listening.has(hypervisor)) {
        const over = new AbortController();
        const signal = AbortSignal.any([closing.signal, over.signal]);
        listening.set(hypervisor, { over, ended: listen(it, signal) });
      }
      return it;
    } finally {
      opening.delete(hypervisor);
    }
  }
  const connectTo = (hypervisor: string): Promise<Hypervisor> =>
    known(async () => connect(await hypervisors(), hypervisor, { owner, signal: closing.signal }));
  /** All of its record that a connection depends on. */
  const addressOf = (hypervisor: string): Promise<string> =>
    known(async () => {
      const { uri, identity, sockets, scratch } = await (await hypervisors()).files.get(hypervisor);
      return JSON.stringify([uri, identity, sockets, scratch]);
    });
  /** Over its own connection: it outlives the one that it came with, and says when the host is back. */
  async function listen({ hypervisor, run }: Connection, signal: AbortSignal): Promise<void> {
    for await (const event of run.events(signal)) {
      if (event.kind === 'back') {
        const it = opened.get(hypervisor);
        if (it) await lost(it);
      }
      onEvent(hypervisor, event);
    }
  }
  async function lost(connection: Connection): Promise<void> {
    const { hypervisor } = connection;
    const it = opened.get(hypervisor);
    if (it?.run !== connection.run) return;
    opened.delete(hypervisor);
    await it.host[Symbol.asyncDispose]();
  }
  async function release(hypervisor: string): Promise<void> {
    // Another may open a new one in the meantime, which stays.
    const it = opened.get(hypervisor);
    const events = listening.get(hypervisor);
    listening.delete(hypervisor);
    events?.over.abort();
    await events?.ended;
    if (it) await lost(it);
  }
  return {
    ...{ lost, release },
    async open(hypervisor, signal) {
      closing.signal.throwIfAborted();
      const ready = opened.get(hypervisor);
      if (ready) {
        // A person may have changed its address, or have added another host under its name.
        if (ready.address === (await addressOf(hypervisor))) return ready;
        if (opened.get(hypervisor) === ready) await release(hypervisor);
      }
      const one = opening.get(hypervisor) ?? opens(hypervisor);
      opening.set(hypervisor, one);
      // The session that waited for it may have ended.
      one.catch(() => {});
      return orAborted(one, signal);
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await Promise.allSettled(opening.values());
      await Promise.all([...listening.values()].map(({ ended }) => ended));
      await Promise.all([...opened.values()].map((it) => lost(it)));
    },
  };
}

/** As a driver reports that the record of a hypervisor, or its key, cannot be had. */
async function known<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    const code = cause.code === 'NOT_FOUND' ? 'NOT_FOUND' : 'DENIED';
    throw new HypervisorError(code, cause.message, { cause });
  }
}
