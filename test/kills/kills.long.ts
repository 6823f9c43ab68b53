import { test } from 'tap';
import { killCommands } from './commands.ts';

const SEED = Number(process.env['SEED'] ?? 1000);
const KILLS = Number(process.env['KILLS'] ?? 200);
const ROUND = 50;

test(`${KILLS} times a command is killed: no recovery point is lost, from SEED=${SEED} on`, {
  timeout: 24 * 3600_000,
}, async () => {
  for (let done = 0; done < KILLS; done += ROUND) {
    await killCommands(Math.min(ROUND, KILLS - done), SEED + done / ROUND);
  }
});
