import { createHash } from 'node:crypto';
import type {
  LossGradient,
  Policy,
  PolicyWeights,
  SampleRequest,
  StoredParts,
  StoredTensors,
  TokenSequence,
  ValueHeadWeights,
} from '../../activities/policy/policy.js';

/**
 * The smallest policy with every property that the algorithm relies on: one logit per token of a
 * small vocabulary, the same in every context; plain gradient ascent instead of AdamW. Its state is
 * JSON, its log-probs are exact, so updates can be worked out by hand.
 */
export class TabularPolicy implements Policy {
  logits: number[];
  stepsTaken = 0;
  readonly calls: string[] = [];

  constructor(readonly vocabulary = 4) {
    this.logits = new Array<number>(vocabulary).fill(0);
  }

  logProb(token: number): number {
    return this.logits[token]! - Math.log(this.logits.reduce((total, logit) => total + Math.exp(logit), 0));
  }

  /** Nats; the same before every token. */
  entropy(): number {
    return -this.logits.reduce((total, _, v) => total + Math.exp(this.logProb(v)) * this.logProb(v), 0);
  }

  async use({ adapter, full }: PolicyWeights): Promise<void> {
    this.calls.push('use');
    const stored = full ? await full.weights?.parts() : adapter && [adapter];
    const parts = await Promise.all(
      (stored ?? []).map(async (part) => JSON.parse(Buffer.from(await part.read()).toString()) as number[]),
    );
    this.logits = parts.length === 0 ? this.logits.map(() => 0) : parts.flat();
  }
  async useMoments(_: StoredTensors | StoredParts | null, stepsTaken: number): Promise<void> {
    this.stepsTaken = stepsTaken;
  }
  async sample(requests: readonly SampleRequest[]) {
    // The key decides the token, so that samples differ without a generator.
    return requests.map(({ randomKey }) => {
      const id = createHash('sha256').update(randomKey).digest()[0]! % this.vocabulary;
      return { ids: [id], logProbs: [this.logProb(id)], end: 'end-of-turn' as const };
    });
  }
  async logProbs(
    sequences: readonly TokenSequence[],
    { weights }: { weights: 'current' | 'reference' },
  ): Promise<number[][]> {
    this.calls.push(`logProbs ${weights} ${sequences.length}`);
    return sequences.map(({ responseIds }) =>
      responseIds.map((id) => (weights === 'reference' ? -Math.log(this.vocabulary) : this.logProb(id))),
    );
  }
  /** The last hidden state tells the token before, modulo 4: what a value head can know. */
  async values(sequences: readonly TokenSequence[], head: ValueHeadWeights): Promise<number[][]> {
    return statesOf(sequences).map((row) => row.map((state) => (head.length === 0 ? 0 : head[state]! + head[STATES]!)));
  }
  async step(
    sequences: readonly TokenSequence[],
    gradient: LossGradient,
    { learningRate, valueHead }: { learningRate: number; valueHead?: ValueHeadWeights },
  ) {
    this.calls.push(`step ${sequences.length}`);
    const { direction, ...rest } = await this.direction(sequences, gradient, valueHead);
    return { gradientNorm: this.move(direction, learningRate), ...rest };
  }
  async gradient(sequences: readonly TokenSequence[], gradient: LossGradient, options: object) {
    structuredClone(options); // a real policy lives in another thread: what cannot be copied cannot be asked for
    this.calls.push(`gradient ${sequences.length}`);
    const { direction, valueHeadGradient } = await this.direction(sequences, gradient);
    return { gradient: Buffer.from(JSON.stringify(direction)), valueHeadGradient };
  }
  async applyGradient(gradients: readonly StoredTensors[], { learningRate }: { learningRate: number }) {
    this.calls.push(`applyGradient ${gradients.length}`);
    const read = await Promise.all(
      gradients.map(async (stored) => JSON.parse(Buffer.from(await stored.read()).toString()) as number[]),
    );
    return {
      gradientNorm: this.move(
        this.logits.map((_, v) => read.reduce((total, direction) => total + direction[v]!, 0)),
        learningRate,
      ),
    };
  }
  private async direction(sequences: readonly TokenSequence[], gradient: LossGradient, valueHead?: ValueHeadWeights) {
    const logProbs = sequences.map(({ responseIds }) => responseIds.map((id) => this.logProb(id)));
    const entropy = this.entropy();
    const p = this.logits.map((_, v) => Math.exp(this.logProb(v)));
    const entropies = logProbs.map((row) => row.map(() => entropy));
    const given = await gradient([...sequences.keys()], logProbs, {
      entropies,
      values: valueHead ? await this.values(sequences, valueHead) : null,
    });
    const coefficients = Array.isArray(given) ? { logProbs: given } : given;
    const direction = this.logits.map(() => 0);
    const valueHeadGradient = valueHead ? new Array<number>(STATES + 1).fill(0) : null;
    sequences.forEach(({ responseIds }, i) =>
      responseIds.forEach((id, l) => {
        const [c, e, value] = [
          coefficients.logProbs[i]![l]!,
          coefficients.entropies?.[i]![l] ?? 0,
          coefficients.values?.[i]![l] ?? 0,
        ];
        for (let v = 0; v < this.vocabulary; v++) {
          // dlog p(id)/dlogit_v = [v = id] - p(v); dH/dlogit_v = -p(v) (log p(v) + H)
          direction[v]! += c * ((v === id ? 1 : 0) - p[v]!) - e * p[v]! * (Math.log(p[v]!) + entropy);
        }
        for (const at of [statesOf(sequences)[i]![l]!, STATES]) if (valueHeadGradient) valueHeadGradient[at]! += value;
      }),
    );
    return { direction, logProbs, valueHeadGradient };
  }
  private move(direction: readonly number[], learningRate: number): number {
    this.logits = this.logits.map((logit, v) => logit - learningRate * direction[v]!);
    this.stepsTaken += 1;
    return Math.hypot(...direction);
  }
  async trained() {
    return {
      adapter: Buffer.from(JSON.stringify(this.logits)),
      moments: Buffer.from(JSON.stringify({ stepsTaken: this.stepsTaken })),
    };
  }
  /** Two groups: the first logit, and the others. */
  async trainedGroup(group: number) {
    const weights = group === 0 ? this.logits.slice(0, 1) : this.logits.slice(1);
    return {
      weights: Buffer.from(JSON.stringify(weights)),
      moments: Buffer.from(JSON.stringify({ group, stepsTaken: this.stepsTaken })),
      groups: 2,
    };
  }
  async device() {
    return {
      name: 'paper',
      library: 'none',
      isProcessor: true,
      tensors: 0,
      tensorBytes: 0,
      residentBytes: 0,
      device: 'a table',
    };
  }
}

const STATES = 4;
const statesOf = (sequences: readonly TokenSequence[]): number[][] =>
  sequences.map(({ promptIds, responseIds }) =>
    responseIds.map((_, l) => (l === 0 ? promptIds.at(-1)! : responseIds[l - 1]!) % STATES),
  );
