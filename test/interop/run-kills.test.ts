import { test } from 'tap';
import { libvirtMissing } from '../support/libvirt.ts';
import { without } from '../support/programs.ts';
import { runsAreSurvived } from './run-kills.ts';

const seed = Number(process.env['SEED'] ?? 1);

test('kills while a machine runs from its recovery point lose nothing, and leave nothing', {
  skip: libvirtMissing || without('python3', 'ss'),
  timeout: 900_000,
}, async (t) => {
  const onRound = (message: string) => t.comment(message);
  t.comment(await runsAreSurvived({ seed, kills: 10, inPart: 2, onRound }));
});
