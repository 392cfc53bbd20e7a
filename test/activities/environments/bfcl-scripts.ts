import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Policy } from '../../../activities/policy/policy.js';
import { toyCodec } from '../../support/toy-codec.js';
import { PYTHON, SIDECAR } from './sidecar-process.js';

/** What a scripted policy says on one task of `bfcl`, response after response. */
export interface Script {
  readonly taskId: string;
  readonly policy: string;
  readonly responses: readonly string[];
}

export const jsonLines = <T>(text: string): T[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);

/** Runs bfcl_transcript_check.py, whose standard output is JSON lines. */
export async function transcriptCheck<T>(...args: string[]): Promise<T[]> {
  const { stdout } = await promisify(execFile)(PYTHON, [`${SIDECAR}/bfcl_transcript_check.py`, ...args], {
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', BFCL_PROJECT_ROOT: path.join(tmpdir(), 'seeupo-bfcl-check') },
  });
  return jsonLines<T>(stdout);
}

/** Random, mutated and junk policies on all 800 tasks. */
export const bfclScripts = (): Promise<Script[]> => transcriptCheck<Script>('policies');

/** A policy that says what scripts say; the random key of a response is `<key of the script>/<turn>`. */
export function scriptedPolicy(scripts: ReadonlyMap<string, Script>): Pick<Policy, 'sample'> {
  const codec = toyCodec();
  return {
    sample: async (requests) =>
      requests.map(({ randomKey }) => {
        const at = randomKey.lastIndexOf('/');
        const text = scripts.get(randomKey.slice(0, at))!.responses[Number(randomKey.slice(at + 1)) - 1] ?? 'No more.';
        const ids = [...codec.encode(text), codec.endOfTurn.id];
        return { ids, logProbs: ids.map(() => 0), end: 'end-of-turn' as const };
      }),
  };
}
