import { spawn } from 'node:child_process';
import { holdRoots } from '../../src/store/directory/reader-leases.ts';
import { openStore } from '../../src/store/directory/store.ts';
import { realWorld } from '../../src/sys/world.ts';

/*
 * A process that holds a lease on a store's roots until it is killed, and has started a program in the meantime, which
 * outlives it. Says the program's process ID once it holds the lease.
 */
const [directory = '', domain = '', pack = '', offset = ''] = process.argv.slice(2);
const store = await openStore(realWorld(), directory);
const place = { pack: Number(pack), offset: Number(offset) };
await holdRoots(store, [{ domain, place, where: 'a test' }], 'a test');
const program = spawn('sleep', ['60'], { stdio: 'ignore', detached: true });
process.stdout.write(`${program.pid}\n`);
setInterval(() => {}, 1000);
