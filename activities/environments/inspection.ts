import type { Toolbox, ToolSignature } from './toolbox.js';

/** Calls of one tool so far. */
export interface CallCount {
  accepted: number;
  refused: number;
  /** What the latest refused call was told. */
  lastRefusal: string | null;
}

/** What a conformance check looks at besides the interface of an environment; only environments of this process have it. */
export interface Inspection {
  /** By tool, of all episodes. */
  readonly calls: ReadonlyMap<string, CallCount>;
  /** Calls of one response that are executed. */
  readonly maxCalls: number;
  /** Its tools run in other processes, whose clock nobody here can move. */
  readonly toolsElsewhere: boolean;
  /** The tools of a new episode of a task. */
  tools(taskId: string): Promise<readonly ToolSignature[]>;
}

/** A toolbox whose calls are counted. */
export function counted(toolbox: Toolbox, calls: Map<string, CallCount>): Toolbox {
  const countOf = (name: string): CallCount => {
    const count = calls.get(name) ?? { accepted: 0, refused: 0, lastRefusal: null };
    calls.set(name, count);
    return count;
  };
  for (const { name } of toolbox.signatures) countOf(name);
  return {
    ...toolbox,
    // A server may add tools during the episode.
    get signatures() {
      return toolbox.signatures;
    },
    async run(tool, ...rest) {
      const result = await toolbox.run(tool, ...rest);
      const count = countOf(tool);
      if (result.accepted) count.accepted++;
      else {
        count.refused++;
        count.lastRefusal = result.result;
      }
      return result;
    },
  };
}
