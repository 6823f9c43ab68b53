import { copiedText } from './file-lines.ts';
import type { Renders } from './render.ts';

export const render = { 'files/copy': copiedText } satisfies Renders;
