import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone, spawnCli } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { without } from '../support/programs.ts';
import { type RunningService, serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { openScreen } from '../support/tmux.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 8 * 2 ** 20, 50);
const skip = without('tmux');

function consoleOf(socket: string, term: string) {
  const command = [process.execPath, MAIN, 'console', '--socket', socket];
  return openScreen(command, { directory: root, term });
}

async function states(holdfast: (...args: string[]) => ReturnType<typeof spawnCli>) {
  const { result } = await expectDone(holdfast('session', 'list'));
  return (result['sessions'] as { state: string }[]).map(({ state }) => state);
}

test('without a service it comes up and says what to do; SIGTERM ends it', { skip }, async () => {
  using screen = consoleOf(join(root, 'absent.sock'), 'screen');
  match(await screen.shows(/does not answer/), /No service answers at .*absent\.sock/s);
  process.kill(screen.pid, 'SIGTERM');
  equal(await screen.ended(), 0);
});

for (const term of ['linux', 'xterm-256color', 'vt220']) {
  test(`on TERM=${term}: run, stop, discard; the service killed and back`, { skip }, async () => {
    const home = serviceHome(temporaryDirectory());
    let service: RunningService = await serviceWith(home, image);
    await using stack = new AsyncDisposableStack();
    stack.defer(async () => void (await service.stop('SIGKILL')));
    using screen = consoleOf(home.socket, term);
    await screen.shows(/^(?=.*The service runs\.)(?=.*No alarms).*\(1 in all\)/s);
    screen.keys('2');
    await screen.shows(/1 of 1/);
    screen.keys('Enter');
    await screen.shows(/Recover nightly\/vm-/);
    screen.keys('Enter');
    await screen.shows(/Session vm-\w+ runs/);
    deepEqual(await states(home.holdfast), ['running']);
    screen.keys('Enter');
    await screen.shows(/^>vm-\w+ +running/m);
    screen.keys('Enter');
    await screen.shows(/Clients +0; .*Its log \(UTC\), followed:\n.*started/s);
    screen.keys('Escape', '7');
    await screen.shows(/^>vm-\w+ +0 .*Connected to nbd\+unix.*\n no client/ms);
    screen.keys('1');
    await screen.shows(/Forecast +not known yet.*Saving +\d.*Reads +\[.*Backups +\[.*\/s/s);
    screen.keys('3');
    await screen.shows(/^>vm-\w+ +running/m);

    await service.stop('SIGKILL');
    const down = await screen.shows(/does not answer/);
    match(down, /systemctl status holdfastd/);
    ok(!/No sessions|vm-\w+ +(running|stopped)/.test(down), down);
    service = await home.run();
    await screen.shows(/^>vm-\w+ +running/m);

    service.signal('SIGSTOP');
    await screen.shows(/has not answered for \d+ s/);
    screen.keys('8');
    await screen.shows(/\[8 Log\].*recover nightly\/vm-/s);
    service.signal('SIGCONT');
    await screen.shows(/The service runs\./);

    screen.keys('3', 's');
    await screen.shows(/^>vm-\w+ +stopped/m);
    deepEqual(await states(home.holdfast), ['ready']);
    screen.keys('d');
    await screen.shows(/To continue, type discard/);
    screen.keys('-l', 'discard');
    screen.keys('Enter');
    await screen.shows(/No sessions\./);
    deepEqual(await states(home.holdfast), []);

    screen.keys('5', 'n');
    await screen.shows(/A new job/);
    screen.keys('Right', 'Enter');
    await screen.shows(/^>.* check$/m);
    screen.keys('Enter');
    await screen.shows(/State +done.*Its log \(UTC\), followed:.*running.*done/s);
    screen.keys('Escape', '6', 'n');
    await screen.shows(/A new schedule/);
    screen.keys('-l', 'verify');
    screen.keys('Down');
    screen.keys('-l', ' at noon');
    screen.keys('Down', 'Right', 'Enter');
    await screen.shows(/at noon.*(calendar|is no)/s);
    screen.keys('Up', ...Array.from({ length: 8 }, () => 'BSpace'), 'Enter');
    await screen.shows(/^>verify +\d\d-.* +- +daily +check$/m);
    screen.keys('d');
    await screen.shows(/type remove/);
    screen.keys('-l', 'remove');
    screen.keys('Enter');
    await screen.shows(/No schedules/);

    screen.resize(60, 20);
    await screen.shows(/needs 80x24/);
    screen.resize(100, 30);
    await screen.shows(/No schedules/);
    for (let n = 0; n < 20; n++) screen.keys(...Array.from({ length: 50 }, () => 'C-c'));
    await screen.shows(/Ctrl-C does nothing here/);
    screen.keys('q');
    equal(await screen.ended(), 0);
  });
}

test('without a terminal it says so', async () => {
  const { code, stderr } = await spawnCli(['console', '--socket', join(root, 'absent.sock')]);
  equal(code, 2);
  match(stderr, /needs a terminal/);
});
