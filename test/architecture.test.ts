import { readdirSync, readFileSync } from 'node:fs';
import { deepEqual } from 'node:assert/strict';
import { dirname, join, normalize } from 'node:path/posix';
import { parseSync } from 'oxc-parser';
import { test } from 'tap';

// The tables in src/README.md are the rule, not a description of it: this test reads what people read.
const MAP = 'src/README.md';
/** What every room may import and no row repeats. */
const FOR_ALL = 'lib';
/** Parts the table of rooms from that of folders. */
const FOLDERS = '\n## Folders of large rooms\n';
/** More files than that are a heap. */
const FILES_MAX = 24;

interface Room {
  readonly rooms: ReadonlySet<string>;
  readonly builtins: ReadonlySet<string>;
  readonly packages: ReadonlySet<string>;
}
interface Import {
  readonly file: string;
  readonly line: number;
  readonly specifier: string;
}

// Static imports, re-exports, `await import()`, and what a parser does not call an import: the type
// `typeof import('x')`, a worker's script and `createRequire(...)('x')`.
const OTHER_IMPORTS = [
  /\bimport\('([^']+)'\)/g,
  /new URL\('(\.[^']+)', import\.meta\.url\)/g,
  /createRequire\(import\.meta\.url\)\('([^']+)'\)/g,
];

const [roomTable, folderTable] = readFileSync(MAP, 'utf8').split(FOLDERS);
const map = roomsOf(roomTable!);
/** By folder, in the order of the table: those of its room that it may import. */
const folderMap = foldersOf(folderTable!);
const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => join('src', name));
const imports = files.flatMap(importsOf);
const filled = new Set(files.map(roomOf));
const folders = new Set(files.map(folderOf));
const large = new Set([...folders].filter((it) => it.includes('/')).map((it) => it.split('/')[0]!));
/** From one folder of a room to another. */
const between = imports.filter(isBetweenFolders);

test('every room has its row in the map', async () => {
  deepEqual(
    [...filled].filter((room) => !map.has(room)),
    [],
  );
});

test('every row of the map has its room', async () => {
  deepEqual(
    [...map.keys()].filter((room) => !filled.has(room)),
    [],
  );
});

test('imports go only where the map says', async () => {
  const wrong = imports.filter((it) => !granted(it));
  deepEqual(wrong.map(place), []);
});

test('no grant of the map is left over', async () => {
  const unused = [...map]
    .filter(([name]) => filled.has(name))
    .flatMap(([name, room]) => {
      const used = new Set(imports.filter(({ file }) => roomOf(file) === name).map(grantOf));
      const grants = [
        ...[...room.rooms].map((it) => `room ${it}`),
        ...[...room.builtins].map((it) => `node:${it}`),
        ...[...room.packages].map((it) => `package ${it}`),
      ];
      return grants.filter((grant) => !used.has(grant)).map((grant) => `${name}: ${grant}`);
    });
  deepEqual(unused, []);
});

test('the map has no circle', async () => {
  const done = new Set<string>();
  function visit(name: string, path: readonly string[]): void {
    if (path.includes(name)) throw new Error(`circle: ${[...path, name].join(' -> ')}`);
    if (done.has(name)) return;
    for (const next of map.get(name)?.rooms ?? []) visit(next, [...path, name]);
    done.add(name);
  }
  for (const name of map.keys()) visit(name, []);
});

test('every folder of a large room has its row, and every row its folder', async () => {
  const wanted = [...folders].filter((it) => large.has(it.split('/')[0]!));
  deepEqual([...folderMap.keys()].sort(), wanted.sort());
});

test('within a room, imports go only where the table of folders says', async () => {
  const wrong = between.filter((it) => !folderMap.get(folderOf(it.file))?.has(targetFolder(it)));
  deepEqual(wrong.map(place), []);
});

test('no grant of the table of folders is left over', async () => {
  const used = new Set(between.map((it) => `${folderOf(it.file)}: ${targetFolder(it)}`));
  const grants = [...folderMap].flatMap(([name, others]) =>
    [...others].map((it) => `${name}: ${it}`),
  );
  deepEqual(
    grants.filter((it) => !used.has(it)),
    [],
  );
});

test('a folder may import only those whose rows are above its own', async () => {
  const above = new Set<string>();
  const wrong: string[] = [];
  for (const [name, others] of folderMap) {
    wrong.push(...[...others].filter((it) => !above.has(it)).map((it) => `${name}: ${it}`));
    above.add(name);
  }
  deepEqual(wrong, []);
});

test('no folder is a heap', async () => {
  const counts = [...folders].map((it) => [
    it,
    files.filter((file) => folderOf(file) === it).length,
  ]);
  deepEqual(
    counts.filter(([, count]) => Number(count) > FILES_MAX),
    [],
  );
});

/** Rows look like: | `room` | `other` `other` | `builtin` | `package` | words | */
function roomsOf(markdown: string): Map<string, Room> {
  const rooms = new Map<string, Room>();
  for (const row of markdown.matchAll(/^\| `([a-z-]+)` *\|([^|]*)\|([^|]*)\|([^|]*)\|/gm)) {
    const [, name, rooms_, builtins, packages] = row.map(String);
    rooms.set(name!, {
      rooms: new Set(words(rooms_!)),
      builtins: new Set(words(builtins!)),
      packages: new Set(words(packages!)),
    });
  }
  return rooms;
}

/** Rows look like: | `room/folder` | words | `other` `.` |, with other folders by their place in the room. */
function foldersOf(markdown: string): Map<string, ReadonlySet<string>> {
  const rows = [...markdown.matchAll(/^\| `([a-z/-]+)` *\|[^|\n]*\|([^|\n]*)\|/gm)];
  return new Map(
    rows.map(([, name, others]) => {
      const room = name!.split('/')[0]!;
      return [name!, new Set(words(others!).map((it) => (it === '.' ? room : `${room}/${it}`)))];
    }),
  );
}

function words(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
}

function importsOf(file: string): Import[] {
  const text = readFileSync(file, 'utf8');
  const { module, errors } = parseSync(file, text);
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]!.message}`);
  const found = [
    ...module.staticImports.map((it) => ({ at: it.start, specifier: it.moduleRequest.value })),
    ...module.staticExports
      .flatMap((it) => it.entries)
      .flatMap((it) =>
        it.moduleRequest ? [{ at: it.start, specifier: it.moduleRequest.value }] : [],
      ),
    ...OTHER_IMPORTS.flatMap((pattern) =>
      [...text.matchAll(pattern)].map((match) => ({ at: match.index, specifier: match[1]! })),
    ),
  ];
  return found.map(({ at, specifier }) => ({
    file,
    line: text.slice(0, at).split('\n').length,
    specifier,
  }));
}

function granted(it: Import): boolean {
  const own = roomOf(it.file);
  const [kind, name] = grantOf(it).split(/[ :]/, 2) as [string, string];
  const room = map.get(own);
  if (kind === 'room') return name === own || name === FOR_ALL || room?.rooms.has(name) === true;
  if (kind === 'node') return room?.builtins.has(name) === true;
  return room?.packages.has(grantOf(it).slice('package '.length)) === true;
}

/** `room block`, `node:fs` or `package koffi`. */
function grantOf({ file, specifier }: Import): string {
  if (specifier.startsWith('node:')) return specifier.split('/')[0]!;
  if (specifier.startsWith('.')) return `room ${roomOf(normalize(join(dirname(file), specifier)))}`;
  const parts = specifier.split('/');
  return `package ${specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0]}`;
}

function roomOf(path: string): string {
  return path.split('/')[1]!;
}

/** `engine/audit`; `block` of a file that lies in the room itself. */
function folderOf(path: string): string {
  return dirname(path).slice('src/'.length);
}

function targetFolder({ file, specifier }: Import): string {
  return folderOf(normalize(join(dirname(file), specifier)));
}

function isBetweenFolders(it: Import): boolean {
  if (!it.specifier.startsWith('.')) return false;
  const target = targetFolder(it);
  return target !== folderOf(it.file) && target.split('/')[0] === roomOf(it.file);
}

function place({ file, line, specifier }: Import): string {
  return `${file}:${line}: ${specifier}`;
}
