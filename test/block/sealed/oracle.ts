/** What may be lost: nothing that was answered (a process was killed), or what no flush covers (a power cut). */
export type Loss = 'nothing answered' | 'unflushed';

export interface Asked {
  readonly offset: number;
  readonly length: number;
  /** 0: zeros. Else the bytes of this number, over and over. */
  readonly stamp: number;
  /** Its answer promises what a flush does. */
  readonly isDurable: boolean;
}

/**
 * Each page of a disk as it was after every request, in the order in which requests of one page are carried out: that
 * in which they were asked. A page is never a mixture of two of these.
 */
export interface Oracle {
  readonly pages: number;
  /** Answers what is to be called once the request succeeded. One that never does may have been carried out. */
  ask(asked: Asked): () => void;
  flush(): () => void;
  /** Answers what is to be called with what a read found that was asked now. */
  read(): (page: number, found: Uint8Array) => void;
  /** Throws unless `found` is what the whole disk may read as after that loss. */
  check(found: Uint8Array, loss: Loss, where: string): void;
  /** Whether page `page` may read so after that loss. */
  allows(page: number, found: Uint8Array, loss: Loss): boolean;
  /** From here on that is what it is, durably. */
  restart(found: Uint8Array): void;
}

interface Version {
  readonly asked: Asked;
  isAnswered: boolean;
}

interface Page {
  initial: Buffer;
  versions: Version[];
  /** So many of them are covered by a flush, or by a later one that is. */
  floor: number;
}

const PAGE = 4096;

export function bytesOf(stamp: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  if (stamp === 0) return bytes;
  const number = Buffer.alloc(4);
  number.writeUInt32LE(stamp + 0x8000_0000, 0);
  const turned = Buffer.from([0, 1, 2, 3].map((at) => number[(offset + at) % 4]!));
  return bytes.fill(turned);
}

export function oracle(base: Uint8Array): Oracle {
  const pages: Page[] = [];
  function restart(found: Uint8Array): void {
    for (let at = 0; at < found.length; at += PAGE) {
      const initial = Buffer.from(found.subarray(at, at + PAGE));
      pages[at / PAGE] = { initial, versions: [], floor: 0 };
    }
  }
  restart(base);

  /** The contents of page `number` after the first `from`, or more, of its versions. */
  function states(number: number, from: number): Buffer[] {
    const { initial, versions } = pages[number]!;
    let now = [initial];
    const found = from === 0 ? [initial] : [];
    versions.forEach(({ asked, isAnswered }, index) => {
      const next = now.map((it) => applied(it, number * PAGE, asked));
      now = distinct(isAnswered ? next : [...now, ...next]);
      if (index + 1 >= from) found.push(...now);
    });
    return distinct(found);
  }
  function checkPage(number: number, found: Uint8Array, from: number, where: string): void {
    const allowed = states(number, from);
    if (allowed.some((it) => it.equals(found))) return;
    const { versions } = pages[number]!;
    const may = allowed.map(described).join(' | ');
    const asked = versions.slice(-8).map(({ asked: it, isAnswered }) => {
      const range = `${it.offset - number * PAGE}+${it.length}`;
      return `${it.stamp}@${range}${it.isDurable ? ' durable' : ''}${isAnswered ? '' : ' open'}`;
    });
    const history = `${versions.length} versions, ${from} kept: ${asked.join(', ')}`;
    throw new Error(`${where}: page ${number} is ${described(found)}, not ${may}; ${history}`);
  }
  /** How many of its versions are sure to be there. */
  function kept({ floor, versions }: Page, loss: Loss): number {
    return loss === 'unflushed' ? floor : versions.findLastIndex((it) => it.isAnswered) + 1;
  }
  function answeredAll(): number[] {
    return pages.map((page) => kept(page, 'nothing answered'));
  }
  function keep(covered: readonly number[]): void {
    pages.forEach((page, number) => (page.floor = Math.max(page.floor, covered[number]!)));
  }
  return {
    pages: Math.ceil(base.length / PAGE),
    ask(asked) {
      const version: Version = { asked, isAnswered: false };
      const first = Math.floor(asked.offset / PAGE);
      const end = Math.ceil((asked.offset + asked.length) / PAGE);
      const mine = pages.slice(first, end);
      for (const { versions } of mine) versions.push(version);
      return () => {
        version.isAnswered = true;
        if (!asked.isDurable) return;
        for (const page of mine) {
          page.floor = Math.max(page.floor, page.versions.indexOf(version) + 1);
        }
      };
    },
    flush() {
      const covered = answeredAll();
      return () => keep(covered);
    },
    read() {
      const sure = answeredAll();
      return (page, found) => checkPage(page, found, sure[page]!, 'a read');
    },
    check(found, loss, where) {
      pages.forEach((page, number) => {
        const part = found.subarray(number * PAGE, (number + 1) * PAGE);
        checkPage(number, part, kept(page, loss), `${where}, ${loss}`);
      });
    },
    allows: (page, found, loss) =>
      states(page, kept(pages[page]!, loss)).some((it) => it.equals(found)),
    restart,
  };
}

function applied(page: Buffer, start: number, { offset, length, stamp }: Asked): Buffer {
  const from = Math.max(offset, start);
  const to = Math.min(offset + length, start + page.length);
  const next = Buffer.from(page);
  next.set(bytesOf(stamp, from, to - from), from - start);
  return next;
}

function distinct(pages: readonly Buffer[]): Buffer[] {
  const found: Buffer[] = [];
  for (const page of pages) if (!found.some((it) => it.equals(page))) found.push(page);
  return found;
}

/** Runs of stamps, for people who look for a fault. */
function described(page: Uint8Array): string {
  const parts: string[] = [];
  let last: string | undefined;
  for (let at = 0; at + 4 <= page.length && parts.length < 6; at += 4) {
    const word = new DataView(page.buffer, page.byteOffset + at).getUint32(0, true);
    const name = word === 0 ? 'zeros' : word >= 0x8000_0000 ? `${word - 0x8000_0000}` : 'base';
    if (name !== last) parts.push(`${name}@${at}`);
    last = name;
  }
  return parts.join(' ');
}
