import type { Machine } from '../../src/host/base/machine.ts';
import { readText, writeText } from '../../src/host/base/text-files.ts';
import { crashingFs } from './crashing-fs.ts';
import { seeded } from './random.ts';

/** A machine whose programs print what `answers` has for their words; those that it does not name fail silently. */
export async function machine(
  answers: Readonly<Record<string, string>>,
  texts: Readonly<Record<string, string>>,
) {
  const { files } = crashingFs(seeded(1));
  const ran: string[] = [];
  const given: string[] = [];
  const it: Machine = {
    files,
    async run(name, args, options = {}) {
      const line = [name, ...args].join(' ');
      ran.push(line);
      if (options.input !== undefined) given.push(options.input);
      const stdout = answers[line];
      const isQuestion = QUESTIONS.test(line);
      return { code: stdout === undefined && isQuestion ? 1 : 0, stdout: stdout ?? '', stderr: '' };
    },
  };
  for (const [path, text] of Object.entries(texts)) await writeText(files, path, text);
  return {
    it,
    /** What was run to change something, as it was typed. */
    ran: () => ran.filter((line) => !QUESTIONS.test(line)),
    /** What programs were given as their input. */
    given: () => given,
    textOf: (path: string) => readText(files, path),
  };
}

/** What only asks. */
const QUESTIONS =
  /^(passwd --status|ssh-keygen -l|systemctl (show|is-active)|\w+ (list-\w+|show)\b|\w+ --json)/;
