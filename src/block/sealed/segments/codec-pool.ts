import { assert } from '../../../lib/assert.ts';
import type { SegmentId } from '../../../formats/store/sessions/overlay-key.ts';
import type { SlotCodec } from '../../../formats/store/sessions/overlay-log.ts';

export type FileCodec = SlotCodec & Disposable;
/** The input of a file's key. */
export type FileId =
  | ({ readonly of: 'segment' } & SegmentId)
  | { readonly of: 'summary'; readonly segment: SegmentId; readonly salt: Uint8Array };
export type MakeCodec = (file: FileId) => FileCodec;

/**
 * Codecs of which at most `max` hold their key and scratch memory (4 KiB) at once: a log may have very many files, of
 * which few are in use. A codec that gave them up makes them again on its next use, from the same ID and so with the
 * same key.
 */
export function codecPool(make: MakeCodec, max: number): MakeCodec {
  /** In order of creation. */
  const ready = new Set<{ giveUp(): void }>();

  return (file) => {
    let own: FileCodec | undefined;
    let isDisposed = false;
    const entry = {
      giveUp(): void {
        ready.delete(entry);
        own?.[Symbol.dispose]();
        own = undefined;
      },
    };
    function made(): FileCodec {
      assert(!isDisposed, 'a codec used after it was disposed of');
      for (const oldest of ready) {
        if (ready.size < max) break;
        oldest.giveUp();
      }
      own = make(file);
      ready.add(entry);
      return own;
    }
    return {
      seal: (into, slot, body) => (own ?? made()).seal(into, slot, body),
      open: (bytes, place, into) => (own ?? made()).open(bytes, place, into),
      [Symbol.dispose]() {
        isDisposed = true;
        entry.giveUp();
      },
    };
  };
}
