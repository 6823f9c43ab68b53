import type { SpaceGuard } from '../../src/block/space-guard.ts';

/** Whatever is asked for is there. */
export const ROOMY: SpaceGuard = {
  tryTake: () => true,
  async take() {},
  async full() {},
  left: async () => 0,
};
