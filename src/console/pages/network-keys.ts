import type { ConfirmDialog } from '../state/dialog-model.ts';
import { chosenOf } from '../state/lists.ts';
import type { Model, Next } from '../state/model.ts';
import {
  bondForm,
  interfaceForm,
  type InterfaceView,
  testForm,
  vlanForm,
} from '../widgets/network-forms.ts';
import { startTask } from '../state/tasks.ts';
import type { Known } from '../state/known.ts';
import type { Call } from '../state/call.ts';

export function interfacesOf({ network }: Model): Known<readonly InterfaceView[]> {
  return network.kind === 'known' ? { ...network, value: network.value.interfaces } : network;
}

export function networkKey(model: Model, key: string): Next {
  const all = interfacesOf(model);
  if (model.network.kind !== 'known' || all.kind !== 'known') return [model, []];
  const { pending } = model.network.value;
  const it = chosenOf(all, model.chosen.network);
  if (key === 't') return [{ ...model, dialog: testForm() }, []];
  if (key === 'R') return [{ ...model, dialog: RESET }, []];
  if (key === 'c' || key === 'u') {
    if (!pending) return [{ ...model, hint: 'No change waits to be confirmed.' }, []];
    const call: Call = { name: key === 'c' ? 'network/confirm' : 'network/revert', request: {} };
    return startTask(model, key === 'c' ? 'network: confirm' : 'network: undo', { call });
  }
  const own = ['enter', 'v', 'b', 'd'].includes(key);
  if (!it || !own) return [model, []];
  if (pending) {
    return [{ ...model, hint: 'First c to keep the last change, or u to undo it.' }, []];
  }
  if (key === 'enter') return [{ ...model, dialog: interfaceForm(it) }, []];
  if (key === 'v') return [{ ...model, dialog: vlanForm(it.name) }, []];
  if (key === 'b') {
    const wired = all.value.filter(({ kind }) => kind === 'wired').map(({ name }) => name);
    return [{ ...model, dialog: bondForm(wired.join(' ')) }, []];
  }
  return [{ ...model, dialog: removalOf(it.name) }, []];
}

const REMOVAL_SECONDS = 60;

function removalOf(name: string): ConfirmDialog {
  return {
    ...{ kind: 'confirm', title: `removal of ${name}`, word: 'remove', typed: '' },
    question:
      `This machine and its sessions can no longer be reached through ${name}. It comes back by itself unless ` +
      `the change is kept within ${REMOVAL_SECONDS} seconds.`,
    call: { name: 'network/remove', request: { name, seconds: REMOVAL_SECONDS } },
  };
}

const RESET: ConfirmDialog = {
  ...{ kind: 'confirm', title: 'Emergency reset of the network', word: 'reset', typed: '' },
  question:
    'All that was set up here is forgotten, VLANs and bonds go, and every wired interface asks for an address by ' +
    'DHCP. This is not rolled back.',
  call: { name: 'network/reset', request: {} },
};
