/** What a configuration that says `quantization_config` or `quantization` was made by, and what to use instead. */

const ORIGINAL = 'Use the model that it was made from, in bf16 or fp16, or a GGUF file, e.g. of Q8_0 or Q4_K';
const advice: Readonly<Record<string, string>> = {
  bitsandbytes:
    'Use the model that it was made from; or load it with transformers, call model.dequantize() and save that',
  fp8: 'Use the same model in bf16: most are published in both',
  fbgemm_fp8: 'Use the same model in bf16: most are published in both',
  'compressed-tensors': 'Use the model that it was made from, in bf16 or fp16: llm-compressor does not change that one',
  mlx: 'Use the model that it was made from, or convert it back with `mlx_lm.convert --dequantize`',
};

/**
 * @param json  config.json
 * @returns     the problem, with the method by its name alone, and the remedy; null if nothing is quantised
 */
export function quantizationOf(json: Readonly<Record<string, unknown>>): { problem: string; remedy: string } | null {
  for (const key of ['quantization_config', 'compression_config', 'quantization']) {
    const value = json[key];
    if (value == null || value === false || (typeof value === 'object' && Object.keys(value).length === 0)) continue;
    const { quant_method: named, bits } = value as { quant_method?: unknown; bits?: unknown };
    // MLX writes the same object under both names, without a method.
    const isMlx = key === 'quantization' || (named === undefined && json['quantization'] != null);
    const method =
      typeof named === 'string'
        ? named
        : isMlx
          ? 'mlx'
          : key === 'compression_config'
            ? 'compressed-tensors'
            : 'a method that it does not name';
    const width = typeof bits === 'number' ? ` to ${bits} bits` : '';
    return {
      problem: `has ${key}: its weights are quantised${width} by ${method === 'mlx' ? 'MLX' : method}, which is not read`,
      remedy: advice[method] ?? ORIGINAL,
    };
  }
  return null;
}
