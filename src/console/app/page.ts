import type { LookName, Model, Next } from '../state/model.ts';
import type { Line } from '../terminal/screen.ts';
import type { PageList } from '../state/lists.ts';

/** One of the screens. */
export interface Page {
  /** As it stands among the others. */
  readonly title: string;
  /** Its own keys, as they stand at the bottom. */
  readonly help: (model: Model) => string;
  /** What is asked of the service while it is to be seen. */
  readonly looks: readonly LookName[];
  readonly list: PageList;
  readonly body: (model: Model) => readonly Line[];
  /** What a key does that is not one of all screens: `enter`, or a character. The service is there. */
  readonly key: (model: Model, key: string) => Next;
}
