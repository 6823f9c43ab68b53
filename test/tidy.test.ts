import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { deepEqual } from 'node:assert/strict';
import { join } from 'node:path/posix';
import { test } from 'tap';

// What linters do not know about this engine.

interface Ban {
  readonly pattern: RegExp;
  /** Rooms, and folders, of src/ that may. */
  readonly except: readonly string[];
  readonly instead: string;
}

/** Rooms that are a program each: the command line and the service. */
const PROGRAMS = ['cli', 'daemon'];

const BANS: readonly Ban[] = [
  {
    pattern: /\bDate\.now\b|\bnew Date\(\)/,
    except: ['sys'],
    instead: 'Clock.now or monotonicMs of sys: a test must be able to turn the clock',
  },
  {
    pattern: /\bset(Timeout|Interval)\(/,
    except: ['sys'],
    instead: 'Clock.sleep of sys: a test must not wait',
  },
  {
    pattern: /\bMath\.random\b/,
    except: [],
    instead: 'Random of sys: a test must be able to repeat it, and secrets need real randomness',
  },
  {
    pattern: /\bprocess\.(argv|env)\b/,
    except: ['sys', ...PROGRAMS],
    instead: 'an argument: what a function depends on stands in its signature',
  },
  {
    pattern: /\bprocess\.(exit|exitCode|stdin|stdout|stderr)\b|\bconsole\./,
    except: [...PROGRAMS, 'sys/sandbox'],
    instead: 'a result or an event: only programs themselves speak to people',
  },
  {
    pattern: /\b(as any|@ts-ignore|@ts-nocheck|oxlint-disable(?!-next-line))\b/,
    except: [],
    instead: 'a type; one line may be excused with a reason (oxlint-disable-next-line)',
  },
  {
    pattern: /\bshell: true\b|\bexecSync\b/,
    except: [],
    instead:
      'run or start of sys/process/run.ts with an argument list: no shell ever parses a name',
  },
  {
    pattern: /\bTODO\b(?!\(#\d+\): \w)/,
    except: [],
    instead: 'TODO(#issue): reason',
  },
];

/** Words that make a reader stumble, and what to write instead. */
const WORDS: readonly Omit<Ban, 'except'>[] = [
  {
    pattern: /^\s*(\/\*\*?|\/\/|\*|-) Of\s/,
    instead: 'the subject: what is described, not only whose it is',
  },
  {
    pattern: /\b([Nn]o|[Ss]ome|[Ee]very)body\b(?!')/,
    instead: 'a noun: the caller, a client, a guest, a person, an administrator',
  },
  {
    pattern: /\b[Ww]ho(so)?ever\b/,
    instead: 'a noun: the caller, the process that, a person who',
  },
  { pattern: /\banew\b/, instead: '"again"' },
  { pattern: /\bmeanwhile\b/, instead: '"in the meantime"' },
  { pattern: /\bno more\b(?! (\w+ )?than\b)/, instead: '"no longer", "not any", "at most"' },
  { pattern: /\bany more\b(?! (than|of)\b)/, instead: '"no longer", "any longer"' },
  { pattern: /\b(is|are|be|was|were) asked of\b/, instead: 'who asks what: "clients request"' },
  { pattern: /\bthat which\b/, instead: 'a noun' },
  {
    pattern: /\b(is|are|was|were|be|been) told (of|that|to)\b/,
    instead: '"notified", "reported", "asked to"',
  },
  { pattern: /\blet(s|ting)? in\b/, instead: '"admit", "give access", "authenticate"' },
  { pattern: /\bif nothing is said\b|[;,.] left out: /, instead: '"default"' },
];

/** Where a banned word is meant: each place with the reason. */
const MEANT: readonly { readonly file: string; readonly text: RegExp; readonly why: string }[] = [
  { file: 'src/formats/wire/rpc.ts', text: /"nobody"/, why: 'the name of user 65534' },
  { file: 'docs/exports.md', text: /"nobody"/, why: 'the name of user 65534' },
];

/** Above this a file is two ideas. */
const LINES_MAX = 400;
/** A line that must not be cut (a table, a URL) still fits on a screen. */
const LINE_LENGTH_MAX = 120;

const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => join('src', name));
const tests = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => join('test', name));

const pages = ['src', 'docs']
  .flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
  )
  .filter((name) => name.endsWith('.md'));
/** All that people read, but for this file, which has the words that it bans. */
const texts = [...sources, ...tests, ...pages, 'README.md', 'CONTRIBUTING.md'].filter(
  (name) => name !== 'test/tidy.test.ts',
);

test('banned names do not occur', async () => {
  const found = sources.flatMap((file) =>
    linesOf(file).flatMap((line, at) =>
      BANS.filter(
        ({ pattern, except }) =>
          !except.some((it) => file.startsWith(`src/${it}/`)) && pattern.test(line),
      ).map(({ instead }) => `${file}:${at + 1}: "${line.trim()}": use ${instead}`),
    ),
  );
  deepEqual(found, []);
});

test('texts use the words of the field, and name who acts', async () => {
  const found = texts.flatMap((file) =>
    linesOf(file).flatMap((line, at) =>
      WORDS.filter(({ pattern }) => pattern.test(line))
        .filter(() => !MEANT.some(({ file: where, text }) => file === where && text.test(line)))
        .map(({ instead }) => `${file}:${at + 1}: "${line.trim()}": write ${instead}`),
    ),
  );
  deepEqual(found, []);
});

test('every stored format has its page beside it', async () => {
  const codecs = sources.filter((file) => file.startsWith('src/formats/store/'));
  const without = codecs.filter(
    (file) => /\bencode|\bdecode|\bparse/.test(read(file)) && !hasPage(file),
  );
  deepEqual(without, []);
});

test('a file is one idea: at most 400 lines, and lines that fit a screen', async () => {
  const long = [...sources, ...tests].flatMap((file) => {
    const lines = linesOf(file);
    const wide = lines.findIndex((line) => line.length > LINE_LENGTH_MAX);
    return [
      ...(lines.length > LINES_MAX ? [`${file}: ${lines.length} lines`] : []),
      ...(wide < 0 ? [] : [`${file}:${wide + 1}: ${lines[wide]!.length} columns`]),
    ];
  });
  deepEqual(long, []);
});

test('file names say what is in them', async () => {
  const vague = /(^|[-/])(utils?|helpers?|manager|common|misc)([-./]|$)/;
  deepEqual(
    [...sources, ...tests].filter((file) => vague.test(file)),
    [],
  );
});

/** `digest.md` beside `digest.ts`; a codec that is part of another's format names the page on top. */
function hasPage(file: string): boolean {
  if (existsSync(file.replace(/\.ts$/, '.md'))) return true;
  return /^\/[/*].*\b[a-z-]+\.md\b/m.test(read(file).slice(0, 2000));
}

function read(file: string): string {
  return readFileSync(file, 'utf8');
}

function linesOf(file: string): string[] {
  return read(file).replace(/\n$/, '').split('\n');
}

test('the compiler is not among what an installation needs', async () => {
  // A schema library names it as a peer that may be there: from then on npm would install it for everybody.
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    readonly packages: Readonly<
      Record<string, { readonly dev?: boolean; readonly peerDependencies?: object }>
    >;
  };
  const installed = Object.entries(lock.packages).filter(([, { dev }]) => !dev);
  deepEqual(
    installed
      .filter(([path, it]) => /typescript/.test(path + JSON.stringify(it.peerDependencies)))
      .map(([path]) => path),
    [],
  );
});
