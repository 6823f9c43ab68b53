import { readFileSync, writeFileSync } from 'node:fs';
import { REFERENCE, withCommands } from './reference.ts';

writeFileSync(REFERENCE, await withCommands(readFileSync(REFERENCE, 'utf8')));
