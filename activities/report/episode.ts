import type { ToolCall } from '../../schemas/environment-protocol.js';
import type { ReadableEpisode } from '../../schemas/report.js';
import type { Split } from '../../schemas/task.js';
import type { Trajectory } from '../../schemas/trajectory.js';
import { fixed } from './format.js';
import { html, type SafeHtml } from './html.js';

/** Token ids to text; null shows a trajectory without its prompts. */
export type Decode = ((ids: readonly number[]) => string) | null;

/** @param prompts  whose text is shown: every turn's, or the first one's, which the rest repeats */
export function readableEpisode(
  trajectory: Trajectory,
  split: Split,
  decode: Decode,
  prompts: 'every' | 'first' = 'every',
): ReadableEpisode {
  const { taskId, sample, reward, success, end, taskTurns, turnsPassed } = trajectory;
  // Where a user turn takes several responses there are fewer checks than responses, and none belongs to one of them.
  const judged = trajectory.turns.length - (end === 'truncated' ? 1 : 0);
  const passed = turnsPassed.length === judged ? turnsPassed : [];
  return {
    split,
    taskId,
    sample,
    reward,
    success,
    end,
    taskTurns,
    turns: trajectory.turns.map((turn, t) => ({
      turn: turn.turn,
      prompt: decode === null || (prompts === 'first' && t > 0) ? null : decode(turn.promptIds),
      promptTokens: turn.promptIds.length,
      response: turn.action.content,
      responseTokens: turn.responseIds.length,
      responseEnd: turn.responseEnd,
      ...(turn.endedBy !== undefined && { endedBy: turn.endedBy }),
      calls: turn.action.calls.map(readableCall),
      observation: turn.observation.map(({ role, content }) => `${role}: ${content}`).join('\n'),
      passed: passed[t] ?? null,
    })),
  };
}

/** E.g. `grep("a.txt", "b")`, arguments as JSON; a malformed one with its reason. */
export function readableCall(call: ToolCall): string {
  if ('malformed' in call) return `not a call: ${call.malformed}`;
  const positional = call.positional.map((value) => JSON.stringify(value));
  const keyword = Object.entries(call.keyword).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return `${call.name}(${[...positional, ...keyword].join(', ')})`;
}

/** Reward and end in one sentence. */
export const outcomeOf = ({ success, end, reward, turns, taskTurns }: ReadableEpisode): SafeHtml =>
  html`Reward <strong>${fixed(reward, 2)}</strong>, ${success ? 'solved' : `not solved (${end})`}; ${turns.length} of ${taskTurns} turns played.`;

const endOf = ({ responseEnd, endedBy }: ReadableEpisode['turns'][number]): string =>
  responseEnd === 'token-limit' ? ', cut by the limit' : endedBy === undefined ? '' : `, ended by ${endedBy}`;

/** Turn after turn: response, calls, observation. */
export const turnsOf = ({ turns }: ReadableEpisode): SafeHtml =>
  html`${turns.map((turn) => {
    const verdict =
      turn.passed === null
        ? html`<span class="tag">not judged</span>`
        : turn.passed
          ? html`<span class="tag pass">✓ passed</span>`
          : html`<span class="tag fail">✗ failed</span>`;
    return html`<h4>Turn ${turn.turn} ${verdict}</h4>
${
  turn.prompt === null
    ? html`<p>Prompt: ${turn.promptTokens} tokens.</p>`
    : html`<details><summary>Prompt, ${turn.promptTokens} tokens</summary><pre class="text">${turn.prompt}</pre></details>`
}
<dl class="turn">
<dt>Response, ${turn.responseTokens} tokens${endOf(turn)}</dt><dd><pre class="text model">${turn.response}</pre></dd>
<dt>Calls</dt><dd>${turn.calls.length === 0 ? html`none` : html`<ul>${turn.calls.map((call) => html`<li><code>${call}</code></li>`)}</ul>`}</dd>
<dt>Observation</dt><dd>${turn.observation === '' ? html`none: the episode ended here` : html`<pre class="text">${turn.observation}</pre>`}</dd>
</dl>`;
  })}`;
