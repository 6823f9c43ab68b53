import { text } from '../../../lib/schema.ts';
import { plainRecord } from '../base/plain-record.ts';

// Which store the second copies in `copies` belong to. Grammar: pack.md.

export const copiesFile = plainRecord('holdfast-copies', { store: text({ max: 128 }) });
