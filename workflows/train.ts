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
import { asCancelled, isCancelled } from './failures.js';
import type { iteration as iterationWorkflow, IterationInput } from './iteration.js';
import * as messages from './messages.js';
import { initialControl, registerControlHandlers, type RunControl } from './run-control.js';
import { withRunLease } from './run-lease.js';
import { pairs, runAttributes } from './search-attributes.js';
import { registerSettingsHandlers } from './settings-changes.js';
import { startOnceFree } from './start-once-free.js';
import { refuseUnknownMessages } from './unknown-messages.js';

/** The run's state from iteration to iteration and over continue-as-new. Its size is bounded. */
export interface TrainState {
  /** The settings of the next iteration. */
  run: RunRef;
  /** Other settings that take effect from iteration `from` on; null if there are none. */
  next: { readonly from: number; readonly run: RunRef } | null;
  /**
   * Index of an iteration that an earlier execution began: it is finished with its old settings. Null if there is none.
   */
  begun: number | null;
  /** Number of changes so far. */
  revisions: number;
  /** The latest changes. */
  changes: messages.SettingsChanged[];
  readonly startedAt: number;
  /** The current theta. */
  policy: PolicyState;
  /** Number of completed iterations k: `policy` is theta_k. */
  iteration: number;
  checkpoint: ArtifactRef | null;
  /** The latest iterations, at most POINTS_KEPT. */
  points: messages.IterationPoint[];
  /** The first two evaluations (two splits each) and the latest ones. */
  evaluations: messages.EvaluationPoint[];
  steering: RunControl;
  /** Settings without effect, as openRun found them. */
  inertSettings?: readonly string[];
}

export interface TrainResult {
  readonly runId: string;
  readonly iterations: number;
  /** Null if no iteration was completed. */
  readonly checkpoint: ArtifactRef | null;
  readonly policy: PolicyState;
  readonly evaluations: readonly messages.EvaluationPoint[];
  /** Null if writing it failed and `stop` skipped it. */
  readonly report: WriteReportResult | null;
}

/** The untrained policy: the model file with a zero adapter. */
const UNTOUCHED: PolicyState = { folded: [], adapter: null, moments: null, optimizerSteps: 0 };

/** Automatic retries of a failed iteration; the steps that it has committed are not repeated. */
const ITERATION_RETRIES = 2;
/** Histories stay far below the server's limits (about 15 events per iteration, 4,096 suggested). */
const CONTINUE_AFTER = 100;
/** Enough for a curve in the Web UI; the store has all points. */
const POINTS_KEPT = 50;

/**
 * A run: opens it, evaluates, fine-tunes (SFT) if configured, iterates, evaluates, reports.
 *
 * The workflow id is the run id of a new run. openRun checks the whole input: if it is invalid, the run fails at once
 * with all problems in one message. Steps that the store already has, because the run is resumed or forked, are not
 * repeated.
 *
 * @param continued  only for continue-as-new
 */
export async function train(config: TrainInput, continued?: TrainState): Promise<TrainResult> {
  const { workflowId, namespace, firstExecutionRunId } = workflowInfo();
  const startedAt = continued?.startedAt ?? workflowInfo().startTime.getTime();
  const control = continued?.steering ?? initialControl();
  let state: TrainState | undefined = continued;
  let phase = 'open the run';
  let notice = '';
  let child: string | null = null;
  /** Training has ended; only the last evaluation and the report are left. */
  let over = false;

  const { waitWhilePaused, abortable, retryThenPause } = registerControlHandlers(control, {
    changed() {
      show();
      upsertSearchAttributes(pairs({ paused: control.paused !== null }));
    },
    underWay: () => (child === null ? phase : `iteration ${state!.iteration + 1}`),
    child: () => child,
  });
  const changes = registerSettingsHandlers({
    state: () => state,
    iterating: () => child !== null,
    over: () => over,
    changed: show,
  });
  const { descriptions } = messages;
  setHandler(messages.config, () => config, { description: descriptions.config });
  setHandler(messages.progress, currentProgress, { description: descriptions.progress });
  setHandler(messages.metrics, currentMetrics, { description: descriptions.metrics });
  refuseUnknownMessages(messages.handledByRun, (text) => {
    notice = text;
    show();
  });

  function currentMetrics(): messages.TrainMetrics {
    return {
      evaluations: state?.evaluations ?? [],
      iterations: state?.points ?? [],
      checkpoint: state?.checkpoint ?? null,
    };
  }

  function currentProgress(): messages.TrainProgress {
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
      paused: control.paused,
      stopping: control.stopping,
      changes,
      startedAt,
      secondsLeft: left,
      latest,
      inertSettings: state?.inertSettings ?? [],
    };
  }

  function show(): void {
    setCurrentDetails([trainDetails(currentProgress(), currentMetrics()), notice].filter(Boolean).join('\n\n'));
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
      steering: control,
      inertSettings,
    };
  }

  async function evaluate(
    state: TrainState,
    name: string,
    attempt: <R>(work: () => Promise<R>) => Promise<R | null> = (work) => retryThenPause(phase, 0, work),
  ): Promise<void> {
    enter(`evaluate ${name}`);
    const { run, policy, iteration: iterationsDone } = state;
    const results = await attempt(() =>
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
    changes.evaluated(points);
  }

  /** Answers `evaluateNow`: a failure is the answer, and training continues. */
  async function evaluateOnRequest(state: TrainState): Promise<void> {
    await evaluate(state, nameAfter(state), abortable).catch((failure: unknown) => {
      if (control.aborted !== null || isCancelled(failure)) throw failure;
      changes.evaluationFailed(failure);
    });
  }

  async function warmStart(state: TrainState): Promise<void> {
    enter('warm start');
    const { run } = state;
    const warm = await retryThenPause(phase, 0, () => gpu('warm start: supervised fine-tuning').warmStart({ run }));
    if (warm) state.policy = warm.policy;
  }

  async function iterate(state: TrainState): Promise<void> {
    const { run, iteration, policy } = state;
    enter('iteration');
    const began = Date.now();
    const id = (child = `${workflowId}/iteration-${String(iteration).padStart(4, '0')}`);
    const done = await retryThenPause(`iteration ${iteration + 1}`, ITERATION_RETRIES, async () => {
      const waiting = () => enter(`wait until workflow ${id}, which an execution before this one began, has ended`);
      const started = await startOnceFree(() => startIteration(id, { run, iteration, policy }), waiting);
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

  /** Opens the run and does the steps before the first iteration; a run that has iterations did those before. */
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

  return asCancelled(() =>
    withRunLease(
      () => state?.run,
      async () => {
        state ??= await begin();
        const first = state.iteration;
        for (;;) {
          await waitWhilePaused(changes.evaluationRequested);
          if (changes.revising()) {
            await changes.untilRevised();
            continue;
          }
          // From here to the start of the child nothing is awaited, so a change applies either to this iteration or to
          // later ones.
          if (control.stopping) break;
          if (changes.evaluationRequested()) {
            await evaluateOnRequest(state);
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
        const report = await retryThenPause(phase, 0, () => cpu('report').writeReport({ run, completedIterations }));
        enter('done');
        changes.evaluationFailed(new Error('the run has ended'));
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

/** Name of the evaluation of theta_k in the store. */
const nameAfter = ({ run, iteration }: TrainState): string =>
  iteration > 0 ? `iteration-${String(iteration).padStart(4, '0')}` : run.warmStart ? 'start' : 'untouched';

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
