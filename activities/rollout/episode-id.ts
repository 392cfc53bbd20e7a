import { sha256 } from '../artifacts/canonical-json.js';

const MAX_LENGTH = 256;

/**
 * Name of an episode at its environment, e.g. `my-run/7/8:0/3`: the same on every attempt, so that a
 * retry meets the replies its predecessor got. Characters outside EpisodeId's are written `.<hex>.`.
 *
 * @param phase  the iteration, or `evaluation-<name>`
 */
export function episodeId(runId: string, phase: number | string, taskId: string, sample: number): string {
  const id = [runId, phase, taskId, sample].map((part) => escaped(String(part))).join('/');
  return id.length <= MAX_LENGTH ? id : `${escaped(runId).slice(0, 100)}/${sha256(id)}`;
}

const escaped = (part: string): string =>
  part.replaceAll(/[^A-Za-z0-9:-]/gu, (character) => `.${character.codePointAt(0)!.toString(16)}.`);
