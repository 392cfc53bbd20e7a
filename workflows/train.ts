import {
  allHandlersFinished,
  ChildWorkflowCancellationType,
  condition,
  continueAsNew,
  ParentClosePolicy,
  setCurrentDetails,
  setHandler,
  startChild,
  upsertMemo,
  upsertSearchAttributes,
  WorkflowIdReusePolicy,
  workflowInfo,
} from '@temporalio/workflow';
import type { ArtifactRef } from '../schemas/artifact-ref.js';
import type { RunRef } from '../schemas/run.js';
import type { WriteReportResult } from '../schemas/steps.js';
import type { TrainInput } from '../schemas/run-request.js';
import type { PolicyState } from '../schemas/turn-state.js';
import { cpu, gpu } from './activity-proxies.js';
import { trainDetails } from './details.js';
import { changeable } from './changes.js';
import { endingCancelled, holding, isCancelled } from './endings.js';
import type { iteration as iterationWorkflow, IterationInput } from './iteration.js';
import * as messages from './messages.js';
import { onceFree } from './once-free.js';
import { pairs, runAttributes } from './search-attributes.js';
import { freely, steer, type Steering } from './steering.js';
import { refuseUnknownMessages } from './unknown-messages.js';

/** What a run carries from iteration to iteration, and over continue-as-new. It does not grow. */
export interface TrainState {
  /** As the next iteration will find it. */
  run: RunRef;
  /** As iterations from another one on will, if they differ. */
  next: { readonly from: number; readonly run: RunRef } | null;
  /** The iteration that was begun by an execution before this one, and keeps its settings; null if none was. */
  begun: number | null;
  /** Changes made so far; the last ones of them. */
  revisions: number;
  changes: messages.SettingsChanged[];
  readonly startedAt: number;
  /** theta as it stands. */
  policy: PolicyState;
  /** Iterations done: theta is theta_k of this k. */
  iteration: number;
  checkpoint: ArtifactRef | null;
  /** The last ones. */
  points: messages.IterationPoint[];
  /** The first ones and the last ones. */
  evaluations: messages.EvaluationPoint[];
  steering: Steering;
  /** Settings that cannot act, as openRun found them. */
  inertSettings?: readonly string[];
}

export interface TrainResult {
  readonly runId: string;
  readonly iterations: number;
  /** Null if no iteration was done. */
  readonly checkpoint: ArtifactRef | null;
  readonly policy: PolicyState;
  readonly evaluations: readonly messages.EvaluationPoint[];
  /** Null if it failed and was left out by `stop`. */
  readonly report: WriteReportResult | null;
}

/** The untrained policy: the model file with a zero adapter. */
const UNTOUCHED: PolicyState = { folded: [], adapter: null, moments: null, optimizerSteps: 0 };

/** A failed iteration begins again so often by itself; what it had committed is kept. */
const ITERATION_RETRIES = 2;
/** Histories stay far below the server's limits (about 15 events per iteration, 4,096 suggested). */
const CONTINUE_AFTER = 100;
/** Enough for a curve in the Web UI; all of them are in the store. */
const POINTS_KEPT = 50;

/**
 * A run: opens it, evaluates, warms up, iterates, evaluates, reports.
 *
 * The workflow id is the run id of a new run. The input is checked by openRun as a whole: a wrong one
 * ends the run at once, saying all that is wrong with it. What of the run is in the store already,
 * because it is resumed or forked, is not done again.
 *
 * @param continued  only for continue-as-new
 */
export async function train(config: TrainInput, continued?: TrainState): Promise<TrainResult> {
  const { workflowId, namespace, firstExecutionRunId } = workflowInfo();
  const startedAt = continued?.startedAt ?? workflowInfo().startTime.getTime();
  const steering = continued?.steering ?? freely();
  let state: TrainState | undefined = continued;
  let phase = 'open the run';
  let notice = '';
  let child: string | null = null;
  /** Training is over, only the last evaluation and the report are left. */
  let over = false;

  const { gate, abortable, persevere } = steer(steering, {
    changed() {
      show();
      upsertSearchAttributes(pairs({ paused: steering.paused !== null }));
    },
    underWay: () => (child === null ? phase : `iteration ${state!.iteration + 1}`),
    child: () => child,
  });
  const asked = changeable({ state: () => state, iterating: () => child !== null, over: () => over, changed: show });
  const { descriptions } = messages;
  setHandler(messages.config, () => config, { description: descriptions.config });
  setHandler(messages.progress, standing, { description: descriptions.progress });
  setHandler(messages.metrics, measured, { description: descriptions.metrics });
  refuseUnknownMessages(messages.ofARun, (said) => {
    notice = said;
    show();
  });

  function measured(): messages.TrainMetrics {
    return {
      evaluations: state?.evaluations ?? [],
      iterations: state?.points ?? [],
      checkpoint: state?.checkpoint ?? null,
    };
  }

  function standing(): messages.TrainProgress {
    const { run, points = [], iteration = 0, changes = [] } = state ?? {};
    const latest = points.at(-1) ?? null;
    const left =
      run && latest
        ? (run.iterations - iteration) * mean(points.slice(-5).map(({ wallSeconds }) => wallSeconds))
        : null;
    return {
      runId: run?.runId ?? workflowId,
      title: run?.title ?? '',
      phase,
      iteration,
      iterations: run?.iterations ?? null,
      child,
      paused: steering.paused,
      stopping: steering.stopping,
      changes,
      startedAt,
      secondsLeft: left,
      latest,
      inertSettings: state?.inertSettings ?? [],
    };
  }

  function show(): void {
    setCurrentDetails([trainDetails(standing(), measured()), notice].filter(Boolean).join('\n\n'));
  }

  function enter(next: string): void {
    phase = next;
    show();
    upsertSearchAttributes(pairs({ phase }));
  }

  async function open(): Promise<TrainState> {
    enter(phase);
    const execution = { namespace, workflowId, firstRunId: firstExecutionRunId };
    const { run, next, progress, revisions, inertSettings } = await cpu(
      'check the configuration, open the run',
    ).openRun({ config: config ?? null, execution });
    upsertMemo({ title: run.title, model: run.model, environment: run.environment, algorithm: run.algorithm });
    upsertSearchAttributes(runAttributes(run, { iteration: progress.iteration }));
    const { iteration, begun, checkpoint, evaluations } = progress;
    const points = progress.points.map((point) => ({ ...point, wallSeconds: point.seconds }));
    const policy = progress.policy ?? UNTOUCHED;
    return {
      run,
      next,
      begun: begun ? iteration : null,
      revisions,
      changes: [],
      startedAt,
      policy,
      iteration,
      checkpoint,
      points,
      evaluations,
      steering,
      inertSettings,
    };
  }

  async function evaluate(
    state: TrainState,
    name: string,
    by: <R>(work: () => Promise<R>) => Promise<R | null> = (work) => persevere(phase, 0, work),
  ): Promise<void> {
    enter(`evaluate ${name}`);
    const { run, policy, iteration: iterationsDone } = state;
    const results = await by(() =>
      Promise.all(
        (['train', 'heldout'] as const).map((split) =>
          gpu(`evaluate ${name}, ${split} tasks`).evaluatePolicy({ run, name, split, iterationsDone, policy }),
        ),
      ),
    );
    if (!results) return;
    const points = results.map(({ manifest: _, ...point }) => point);
    const others = state.evaluations.filter((point) => point.name !== name);
    state.evaluations = [...others.slice(0, 4), ...others.slice(4).slice(-POINTS_KEPT), ...points];
    upsertSearchAttributes(pairs({ evaluation: points[0]!.meanReward }));
    show();
    asked.evaluated(points);
  }

  /** For whoever asked: a failure is theirs to hear of, and no reason to stop training. */
  async function evaluateAsAsked(state: TrainState): Promise<void> {
    await evaluate(state, nameAfter(state), abortable).catch((failure: unknown) => {
      if (steering.aborted !== null || isCancelled(failure)) throw failure;
      asked.evaluationFailed(failure);
    });
  }

  async function warmStart(state: TrainState): Promise<void> {
    enter('warm start');
    const { run } = state;
    const warm = await persevere(phase, 0, () => gpu('warm start: supervised fine-tuning').warmStart({ run }));
    if (warm) state.policy = warm.policy;
  }

  async function iterate(state: TrainState): Promise<void> {
    const { run, iteration, policy } = state;
    enter('iteration');
    const began = Date.now();
    const id = (child = `${workflowId}/iteration-${String(iteration).padStart(4, '0')}`);
    const done = await persevere(`iteration ${iteration + 1}`, ITERATION_RETRIES, async () => {
      const waiting = () => enter(`wait until workflow ${id}, which an execution before this one began, has ended`);
      const started = await onceFree(() => startIteration(id, { run, iteration, policy }), waiting);
      if (phase !== 'iteration') enter('iteration');
      return started.result();
    });
    child = null;
    if (!done) return;
    const { policy: moved, checkpoint, ...point } = done;
    state.policy = moved;
    state.checkpoint = checkpoint;
    state.iteration = iteration + 1;
    state.points = [...state.points, { ...point, wallSeconds: (Date.now() - began) / 1000 }].slice(-POINTS_KEPT);
    upsertSearchAttributes(pairs({ iteration: state.iteration, reward: point.meanReward, kl: point.klReference }));
    show();
  }

  /** What comes before the first iteration; of a run that has iterations, it was done. */
  async function begin(): Promise<TrainState> {
    state = await open();
    if (state.iteration > 0) {
      await evaluateIfDue(state);
      return state;
    }
    await evaluate(state, 'untouched');
    if (state.run.warmStart) {
      await warmStart(state);
      await evaluate(state, 'start');
    }
    return state;
  }

  async function evaluateIfDue(state: TrainState): Promise<void> {
    const { evaluateEvery, iterations } = state.run;
    const due = evaluateEvery !== null && state.iteration % evaluateEvery === 0 && state.iteration < iterations;
    if (due && !state.evaluations.some(({ name }) => name === nameAfter(state)))
      await evaluate(state, nameAfter(state));
  }

  return endingCancelled(() =>
    holding(
      () => state?.run,
      async () => {
        state ??= await begin();
        const first = state.iteration;
        for (;;) {
          await gate(asked.forEvaluation);
          if (asked.revising()) {
            await asked.settled();
            continue;
          }
          // From here to the child's start nothing waits: a change is either in the iteration's settings or comes after it.
          if (steering.stopping) break;
          if (asked.forEvaluation()) {
            await evaluateAsAsked(state);
            continue;
          }
          if (state.next && state.iteration >= state.next.from)
            Object.assign(state, { run: state.next.run, next: null });
          if (state.iteration >= state.run.iterations) break;
          if (
            state.iteration > first &&
            (workflowInfo().continueAsNewSuggested || state.iteration - first >= CONTINUE_AFTER)
          ) {
            await condition(allHandlersFinished);
            await continueAsNew<typeof train>(config, state);
          }
          await iterate(state);
          await evaluateIfDue(state);
        }
        over = true;
        if (state.iteration > 0) await evaluate(state, 'end');
        enter('report');
        const { run, iteration: completedIterations } = state;
        const report = await persevere(phase, 0, () => cpu('report').writeReport({ run, completedIterations }));
        enter('done');
        asked.evaluationFailed(new Error('the run has ended'));
        await condition(allHandlersFinished);
        const { checkpoint, policy, evaluations } = state;
        return { runId: run.runId, iterations: completedIterations, checkpoint, policy, evaluations, report };
      },
    ),
  );
}

/** One Web UI page per iteration. */
const startIteration = (workflowId: string, input: IterationInput) =>
  startChild<typeof iterationWorkflow>('iteration', {
    workflowId,
    args: [input],
    staticSummary: `iteration ${input.iteration + 1} of ${input.run.iterations}`,
    staticDetails: input.run.title,
    // A retry, and a reset of the parent, run the same id again; the store knows what is done.
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
    parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
    cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
  });

/** Name of the evaluation of theta_k. */
const nameAfter = ({ run, iteration }: TrainState): string =>
  iteration > 0 ? `iteration-${String(iteration).padStart(4, '0')}` : run.warmStart ? 'start' : 'untouched';

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
