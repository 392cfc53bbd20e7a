import type { ModelShape, ModuleName } from '../model-config.js';

/** A model's weights in some format, read tensor by tensor and widened to fp32. */
export interface WeightReader {
  readonly config: ModelShape;
  embedding(): Promise<Float32Array>; // (vocabulary, hidden)
  /** Asked for only without tied embeddings. */
  head(): Promise<Float32Array>; // (vocabulary, hidden)
  finalNorm(): Promise<Float32Array>; // (hidden)
  norm(layer: number, which: NormName): Promise<Float32Array>; // (hidden), of queries and keys (head dimension)
  module(layer: number, module: ModuleName): Promise<Float32Array>; // (out, in), rotary halves as in Hugging Face
  bias(layer: number, module: ModuleName): Promise<Float32Array>; // (out), of the modules in config.biases
  close(): Promise<void>;
}

export type NormName = 'attention' | 'mlp' | 'query' | 'key';
