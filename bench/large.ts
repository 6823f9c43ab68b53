import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { figure, seconds, section } from './figures.ts';
import type { Holdfast } from './holdfast.ts';
import { growStore } from './large-store.ts';
import { dropCaches, ended, median, residentNow } from './measure.ts';
import { isReady } from './service.ts';

const DAEMON = new URL('../src/daemon/main.ts', import.meta.url).pathname;
const MAIN = new URL('../src/cli/main.ts', import.meta.url).pathname;
const MiB = 2 ** 20;
const BLOCKS = 10_000_000;
const POINTS = 2000;
const ROUNDS = 5;
/** Until what a start has left over is collected, or not. */
const IDLE_MS = 60_000;

/** The service on a store of years: how soon it is ready, and its cost while idle. */
export async function benchLarge(work: string, { store }: Holdfast): Promise<void> {
  section(`The service on a store of ${BLOCKS / 1e6} million blocks and ${POINTS} recovery points`);
  const socket = join(work, 'control.sock');
  const settings = join(work, 'holdfastd.json');
  const passphraseFiles = { bench: join(store, '..', 'passphrase') };
  writeFileSync(settings, JSON.stringify({ store, socket, passphraseFiles }));
  const ask = (...args: string[]): number => {
    const started = performance.now();
    execFileSync(process.execPath, [MAIN, ...args, '--socket', socket, '--json']);
    return (performance.now() - started) / 1000;
  };
  /** `before`: what it took on the same machine when the store was small. */
  const starts = async (what: string, before?: number): Promise<number> => {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      dropCaches();
      const { service, ready } = await start(settings);
      times.push(ready);
      await ended(service, 'SIGKILL');
    }
    const first = median(times);
    const peer = before === undefined ? 'limit 1 s' : `${seconds(before)} on a small store`;
    figure(what, seconds(first), peer, { ratio: (before ?? 1) / first, aim: '1x' });
    return first;
  };
  // The first start ever strips types.
  await ended((await start(settings)).service, 'SIGTERM');
  const small = await starts('start to READY, small store, cache dropped');
  const grown = performance.now();
  await growStore(store, { blocks: BLOCKS, points: POINTS });
  figure('grown in', seconds((performance.now() - grown) / 1000), '');
  await starts('start to READY, large store, cache dropped', small);
  const { service } = await start(settings);
  try {
    await idle(service, 'resident, idle');
    figure('recover, command to ready', seconds(ask('recover', 'vm@latest', '--detach')), '');
    figure('backup list', seconds(ask('backup', 'list')), '');
    await idle(service, 'resident after both, a session running');
  } finally {
    await ended(service, 'SIGTERM');
  }
  await starts('start to READY with a session to resume');
}

async function start(settings: string) {
  const started = performance.now();
  const service = spawn(process.execPath, [DAEMON, '--config', settings], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await isReady(service);
  return { service, ready: (performance.now() - started) / 1000 };
}

async function idle(service: ChildProcess, what: string): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  const resident = residentNow(service.pid!);
  figure(what, `${(resident / MiB).toFixed(0)} MiB`, 'limit 150 MiB', {
    ratio: (150 * MiB) / resident,
    aim: '1x',
  });
}
