import { test } from 'tap';
import { killCommands } from './commands.ts';

const SEED = Number(process.env['SEED'] ?? 1);

// The service itself is killed in interop/kills.test.ts.
test(`backup, keep, forget, rebuild and recover are killed: no recovery point is lost (SEED=${SEED})`, async () => {
  await killCommands(5, SEED);
});
