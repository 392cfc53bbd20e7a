import type { ToolCall } from '../../schemas/environment-protocol.js';
import type { Trajectory } from '../../schemas/trajectory.js';
import { groupBy } from '../numerics/group-by.js';
import { argumentsJson, type WellFormedCall } from '../rollout/tool-calls.js';

/** One step as official function-calling handlers keep it: calls as `{name: arguments in JSON}`, or the text of a response without a call. */
export type OfficialStep = string | Record<string, string>[];

/** One line of a result file of bfcl_eval. */
export interface OfficialResult {
  readonly id: string;
  /** By user turn, then step. */
  readonly result: OfficialStep[][];
}

type Transcript = Pick<Trajectory, 'taskId'> & {
  readonly turns: readonly Pick<Trajectory['turns'][number], 'action'>[];
};

/** Names that Python reads as one name. The official evaluator pastes names and keys into code: anything else must not reach it. */
const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

/**
 * The transcript of an episode of `bfcl` as bfcl_eval's evaluator takes it. Responses are dealt over user turns as the
 * environment does it: one without a call ends the turn.
 */
export function officialResult({ taskId, turns }: Transcript): OfficialResult {
  const [id, options = ''] = taskId.split('?', 2) as [string, string?];
  // There a malformed call is none (bfcl_full.py).
  const authors = options.split('&').includes('prompt=authors');
  const result: OfficialStep[][] = [];
  let open = false;
  for (const { action } of turns) {
    if (!open) result.push([]);
    const executable = action.calls.filter(isExecutable);
    result
      .at(-1)!
      .push(
        executable.length === 0
          ? action.content
          : executable.map(({ name, keyword }) => ({ [name]: argumentsJson(keyword) })),
      );
    open = action.calls.some((call) => !authors || !('malformed' in call));
  }
  return { id, result };
}

const isExecutable = (call: ToolCall): call is WellFormedCall =>
  'name' in call && [call.name, ...Object.keys(call.keyword)].every((word) => IDENTIFIER.test(word));

/**
 * Result files of one sample of each task in the official layout: path below `result/` -> lines of JSON.
 *
 * @param model  folder of the results, the official registry's name of a model where there is one
 */
export function officialResultFiles(model: string, transcripts: readonly Transcript[]): Map<string, string> {
  const byCategory = groupBy(transcripts.map(officialResult), ({ id }) => id.slice(0, id.lastIndexOf('_')));
  return new Map(
    [...byCategory].map(([category, results]) => [
      `${model}/multi_turn/BFCL_v4_${category}_result.json`,
      results
        .sort((a, b) => numberOf(a.id) - numberOf(b.id))
        .map((one) => `${JSON.stringify(one)}\n`)
        .join(''),
    ]),
  );
}

const numberOf = (id: string): number => Number(id.slice(id.lastIndexOf('_') + 1));
