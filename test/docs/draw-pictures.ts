import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { pictures } from './pictures.ts';

for (const [path, text] of pictures()) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
