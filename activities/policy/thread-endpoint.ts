import type { Endpoint } from 'comlink';
import nodeAdapter from 'comlink/dist/umd/node-adapter.js';

/** A thread or its parent port as a comlink endpoint. (The adapter's types describe another module format than its code.) */
export const threadEndpoint = nodeAdapter as unknown as (port: unknown) => Endpoint;
