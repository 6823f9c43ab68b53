import { test } from 'tap';
import { libvirtMissing } from '../support/libvirt.ts';
import { without } from '../support/programs.ts';
import { runsAreSurvived } from './run-kills.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));
const kills = Number(process.env['KILLS'] ?? 200);

test('kills while a machine runs from its recovery point lose nothing, and leave nothing', {
  skip: libvirtMissing || without('python3', 'ss'),
  timeout: 86_400_000,
}, async (t) => {
  const onRound = (message: string) => t.comment(message);
  t.comment(await runsAreSurvived({ seed, kills, inPart: 3, onRound }));
});
