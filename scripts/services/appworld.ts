import { sidecar } from './bfcl.js';

/** The AppWorld engine on the user's data (SEEUPO_APPWORLD_ROOT), or on the small world that set-up builds. */
export const appworld = sidecar('appworld', 'appworld', [
  { key: 'http', purpose: 'the AppWorld sidecar', variable: 'SEEUPO_APPWORLD_PORT', from: 18_720 },
]);
