import v8 from 'node:v8';
import vm from 'node:vm';

v8.setFlagsFromString('--expose-gc');

/**
 * A full collection in this thread, before its memory is reported: of what is held, not of what nobody holds any more. What a step
 * read and wrote lies in buffers outside of V8's heap, which it lets gather by tens of MB before it looks; between two steps nobody
 * waits for the few milliseconds.
 */
export const collectGarbage = vm.runInNewContext('gc') as () => void;
