import { temporaryDirectory } from './temporary.ts';

/** No test remembers stores in the home directory of its user: this process does, and what it starts, apart. */
export function rememberApart(): void {
  process.env['HOLDFAST_STATE'] ??= temporaryDirectory();
}
