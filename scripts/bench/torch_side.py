"""The other side of the bench: PyTorch and transformers at the same work, as bench/side.ts asks it.

One line of JSON in, one out. Eager kernels, padded batches, gradients by autograd: what one writes with these
libraries.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.generation import StoppingCriteria, StoppingCriteriaList

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--precision", choices=["fp32", "bf16"], required=True)
parser.add_argument("--weights", choices=["fp32", "bf16"], required=True)
parser.add_argument("--threads", type=int, required=True)
parser.add_argument("--adapter", required=True)
parser.add_argument("--rank", type=int, required=True)
parser.add_argument("--alpha", type=float, required=True)
options = parser.parse_args()

torch.set_num_threads(options.threads)
PAD = 0
model = AutoModelForCausalLM.from_pretrained(
    options.model, dtype=torch.float32 if options.weights == "fp32" else torch.bfloat16
)
model.eval()
for parameter in model.parameters():
    parameter.requires_grad_(False)


class Lora(torch.nn.Module):
    """peft's linear layer: the base's output plus (alpha / rank) B A x, both matrices fp32."""

    def __init__(self, base: torch.nn.Linear, a: torch.Tensor, b: torch.Tensor) -> None:
        super().__init__()
        self.base = base
        self.A = torch.nn.Parameter(a)
        self.B = torch.nn.Parameter(b)
        self.enabled = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.base(x)
        if not self.enabled:
            return y
        return y + F.linear(F.linear(x.to(self.A.dtype), self.A), self.B) * (options.alpha / options.rank)


adapters: dict[str, Lora] = {}


def adapt() -> list[torch.nn.Parameter]:
    """Wraps the seven linear layers of each block, or resets them: theta before any step."""
    stored = load_file(options.adapter)
    for name in sorted({key.rsplit(".lora_", 1)[0] for key in stored}):
        a, b = stored[f"{name}.lora_A.weight"], stored[f"{name}.lora_B.weight"]
        if name in adapters:
            with torch.no_grad():
                adapters[name].A.copy_(a)
                adapters[name].B.copy_(b)
            continue
        owner_name, leaf = name.removeprefix("base_model.model.").rsplit(".", 1)
        owner = model.get_submodule(owner_name)
        adapters[name] = Lora(getattr(owner, leaf), a, b)
        setattr(owner, leaf, adapters[name])
    return [p for adapter in adapters.values() for p in (adapter.A, adapter.B)]


original: list[torch.Tensor] = []


def afresh() -> list[torch.nn.Parameter]:
    """All weights trainable, and as they were before any step."""
    parameters = list(model.parameters())
    if not original:
        original.extend(p.detach().clone() for p in parameters)
    for p, value in zip(parameters, original):
        p.data.copy_(value)
        p.requires_grad_(True)
    return parameters


def autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16")


def token_log_probs(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    logits = logits.float()
    return logits.gather(-1, ids[..., None])[..., 0] - logits.logsumexp(-1)


def log_probs(rows: list[list[int]]) -> dict[str, Any]:
    ids = torch.tensor(rows)
    began = time.perf_counter()
    with torch.inference_mode(), autocast():
        found = token_log_probs(model(ids).logits[:, :-1], ids[:, 1:])
    return {"seconds": time.perf_counter() - began, "tokens": ids.numel(), "check": float(found.mean())}


def step(rows: list[list[int]], training: str) -> dict[str, Any]:
    ids = torch.tensor(rows)
    parameters = adapt() if training == "lora" else afresh()
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    began = time.perf_counter()
    with autocast():
        logits = model(ids).logits[:, :-1]
        loss = F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {"seconds": time.perf_counter() - began, "tokens": ids.numel(), "check": float(norm)}


class FirstToken(StoppingCriteria):
    """Stops nothing: notes when the first token was there, so that the prompt's own pass can be left out."""

    at = 0.0

    def __call__(self, input_ids, scores, **rest):
        self.at = self.at or time.perf_counter()
        return torch.zeros(input_ids.shape[0], dtype=torch.bool)


def left_padded(prompts: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    return ids, mask


def generate(prompts: list[list[int]], tokens: int, temperature: float, end: list[int] | None, **more) -> torch.Tensor:
    ids, mask = left_padded(prompts)
    with torch.inference_mode():
        found = model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=tokens,
            do_sample=True,
            temperature=temperature,
            top_k=0,
            top_p=1.0,
            eos_token_id=end,
            pad_token_id=PAD,
            **more,
        )
    return found[:, ids.shape[1] :]


def decode(prompts: list[list[int]], tokens: int, temperature: float) -> dict[str, Any]:
    first = FirstToken()
    generate(prompts, tokens, temperature, None, stopping_criteria=StoppingCriteriaList([first]))
    return {"seconds": time.perf_counter() - first.at, "tokens": len(prompts) * (tokens - 1), "check": None}


def sample(
    requests: list[dict[str, Any]], temperature: float, maxResponseTokens: int, ends: list[int]
) -> dict[str, Any]:
    began = time.perf_counter()
    rows = generate([r["promptIds"] for r in requests], maxResponseTokens, temperature, ends).tolist()
    seconds = time.perf_counter() - began
    responses = []
    for row in rows:
        ended = any(token in ends for token in row)
        ids = row[: next(n for n, token in enumerate(row) if token in ends) + 1] if ended else row
        responses.append({"ids": ids, "logProbs": [0.0] * len(ids), "end": "end-of-turn" if ended else "token-limit"})
    return {"seconds": seconds, "tokens": sum(len(r["ids"]) for r in responses), "check": None, "responses": responses}


def response_log_probs(batch: list[dict[str, Any]], temperature: float) -> list[torch.Tensor]:
    """Prompts padded on the left, responses on the right, the head only where responses are: as trl does it."""
    ids, mask = left_padded([s["promptIds"] for s in batch])
    width = max(len(s["responseIds"]) for s in batch)
    responses = torch.tensor([s["responseIds"] + [PAD] * (width - len(s["responseIds"])) for s in batch])
    response_mask = torch.tensor([[1] * len(s["responseIds"]) + [0] * (width - len(s["responseIds"])) for s in batch])
    mask = torch.cat([mask, response_mask], 1)
    with autocast():
        logits = model(
            torch.cat([ids, responses], 1),
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            logits_to_keep=width + 1,
        ).logits[:, :-1]
    found = token_log_probs(logits / temperature, responses)
    return [row[: len(s["responseIds"])] for row, s in zip(found, batch)]


def turn_update(
    samples: list[dict[str, Any]],
    minibatches: list[list[str]],
    batch: int,
    temperature: float,
    algorithm: dict[str, Any],
    optimizer: dict[str, Any],
) -> dict[str, Any]:
    """old, reference and new log-probs, gradients and AdamW of one turn pool: Eq. 6 with the k3 term."""
    parameters = adapt()
    adamw = torch.optim.AdamW(
        parameters,
        lr=optimizer["learningRate"],
        betas=tuple(optimizer["betas"]),
        eps=optimizer["epsilon"],
        weight_decay=optimizer["weightDecay"],
        fused=True,
    )
    low, high = 1 - algorithm["clip"]["low"], 1 + algorithm["clip"]["high"]
    beta = algorithm["klCoefficient"]
    norms = []

    def batches(chosen: list[int]) -> list[list[int]]:
        return [chosen[at : at + batch] for at in range(0, len(chosen), batch)]

    def scored() -> list[torch.Tensor]:
        with torch.inference_mode():
            return [
                row.float().clone()
                for part in batches(list(range(len(samples))))
                for row in response_log_probs([samples[i] for i in part], temperature)
            ]

    began = time.perf_counter()
    old = scored()
    for adapter in adapters.values():
        adapter.enabled = False
    reference = scored()
    for adapter in adapters.values():
        adapter.enabled = True
    for tasks in minibatches:
        chosen = [i for i, s in enumerate(samples) if s["taskId"] in tasks]
        for part in batches(chosen):
            loss = torch.zeros(())
            for i, current in zip(part, response_log_probs([samples[i] for i in part], temperature)):
                ratio = (current - old[i]).mean().exp()
                weight = samples[i]["advantage"] * samples[i]["suffixProduct"]
                d = reference[i] - current
                loss = (
                    loss
                    - torch.minimum(ratio * weight, ratio.clamp(low, high) * weight)
                    + beta * (d.exp() - d - 1).mean()
                )
            (loss / len(chosen)).backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(parameters, optimizer["maxGradientNorm"] or float("inf"))))
        adamw.step()
        adamw.zero_grad(set_to_none=True)
    scored()
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "tokens": sum(len(s["promptIds"]) + len(s["responseIds"]) for s in samples),
        "check": sum(norms) / len(norms),
    }


def hello() -> dict[str, Any]:
    return {
        "seconds": 0,
        "tokens": 0,
        "check": None,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


CALLS = {
    "hello": hello,
    "logProbs": log_probs,
    "step": step,
    "decode": decode,
    "sample": sample,
    "turnUpdate": turn_update,
}

for line in sys.stdin:
    request = json.loads(line)
    try:
        reply = CALLS[request.pop("call")](**request)
        reply["peakBytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    except Exception as error:  # noqa: BLE001 - said to the one who asked, and the next call may work
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(reply), flush=True)
