import { deepEqual } from 'node:assert/strict';
import { test } from 'tap';
import { libvirtMissing } from '../support/libvirt.ts';
import { without } from '../support/programs.ts';
import { PHASES, runsAreSurvived } from './run-kills.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));
const KILLS = 200;
const kills = Number(process.env['KILLS'] ?? KILLS);

test('kills while a machine runs from its recovery point lose nothing, and leave nothing', {
  skip: libvirtMissing || without('python3', 'ss'),
  timeout: 86_400_000,
}, async (t) => {
  const onRound = (message: string) => t.comment(message);
  const counts = await runsAreSurvived({ seed, kills, inPart: 3, onRound });
  t.comment(counts);
  const phases = Object.values(PHASES).flat();
  const missed = phases.filter((phase) => counts[phase] === undefined);
  if (kills >= KILLS) deepEqual(missed, [], `SEED=${seed}: no kill came in these phases`);
});
