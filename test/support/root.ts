import path from 'node:path';

/** The checkout's root: tests run from dist/test/... */
export const root = path.resolve(import.meta.dirname, '../../..');
