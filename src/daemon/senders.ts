import type { Sender } from '../alarms/channel.ts';
import { mail } from '../alarms/mail.ts';
import { webhook } from '../alarms/webhook.ts';
import type { Channel } from '../formats/store/service/alarm.ts';
import type { World } from '../sys/world.ts';
import type { Settings } from './settings.ts';

/** The channels that notify people of alarms, by the current settings. */
export function senders(
  world: World,
  settings: () => Settings,
): Readonly<Record<Channel, () => Sender | undefined>> {
  return {
    webhook() {
      const { webhook: url, webhookSecretFile: secretFile } = settings().notify;
      return url === undefined ? undefined : webhook(world, { url, secretFile });
    },
    mail() {
      const given = settings().notify.mail;
      return given && mail(given);
    },
  };
}
