"""The figures of the cost model in docs/performance.md, from its formulas and the totals of `outshine plan post`.

    python benchmarks/gpu_costs.py [--flops 2.2e19] [--tokens 1261620545]

FLOPs and tokens are those of the last lines of `outshine plan post --offline`.
"""

from __future__ import annotations

import argparse
import sys

from gpu_model import LLAMA_3_8B, RANK, key_value_width, parameters_of_blocks

PEAK, SUSTAINED, BANDWIDTH = 989e12, 790e12, 4.8e12  # H200: dense bf16 and memory of the data sheet; an assumption
PLAN_FLOPS, PLAN_TOKENS = 2.2e19, 1_261_620_545
DISPATCH = {"evaluated": 0.042, "trained": 0.111}  # seconds a text, 32 layers with PEFT, timed once on a CPU
TRAIN, VAL, TEST, EPOCHS, BATCH, EVAL_EVERY = 5000, 1000, 5000, 3, 32, 25  # the post's, rows of one student


def main() -> None:
    """Print them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flops", type=float, default=PLAN_FLOPS)
    parser.add_argument("--tokens", type=float, default=PLAN_TOKENS)
    options = parser.parse_args()
    lines = [*per_token(), *study(options.flops, options.tokens), *evaluations()]
    sys.stdout.write("\n".join(lines) + "\n")


def per_token() -> list[str]:
    """FLOPs and bytes of one token of Llama-3-8B."""
    n = parameters_of_blocks(LLAMA_3_8B)
    d, f, layers = LLAMA_3_8B.hidden_size, LLAMA_3_8B.intermediate_size, LLAMA_3_8B.num_hidden_layers
    kv = key_value_width(LLAMA_3_8B)
    pairs = [(d, d), (d, kv), (d, kv), (d, d), (d, f), (d, f), (f, d)]
    lora = layers * 2 * RANK * sum(i + o for i, o in pairs)
    kept = layers * activation_bytes(d, f, kv)
    return [
        f"N {n:,}; weights {2 * n / 1e9:.2f} GB in bf16; embedding {2 * LLAMA_3_8B.vocab_size * d / 1e9:.2f} GB",
        f"forward {2 * n / 1e9:.2f} GFLOP a token, training with LoRA {4 * n / 1e9:.2f}, in full {6 * n / 1e9:.2f}",
        *(f"attention at {t} tokens: {2 * t * d * layers / (2 * n):.2%} of the forward pass" for t in (31, 150, 1000)),
        f"LoRA: {lora / 1e6:.1f} MFLOP a token forward, {lora / (2 * n):.2%}; trained weights {lora / 2 / 1e6:.2f} M",
        f"training with LoRA's own: {(4 * n + 3 * lora) / 1e9:.2f} GFLOP a token",
        f"kept for the backward pass: {kept / 1e6:.2f} MB a token, {kept / layers / 1e3:.1f} kB a token and layer",
        f"16,384 tokens keep {16_384 * kept / 1e9:.0f} GB; with checkpointing {16_384 * layers * 2 * d / 1e9:.1f} GB",
        f"weights read once: {1e3 * 2 * n / BANDWIDTH:.1f} ms; balance {PEAK / BANDWIDTH:.0f} FLOP a byte",
        *(
            f"forward of {t:,} tokens: {2e3 * n * t / PEAK:.1f} ms at peak, {2e3 * n * t / SUSTAINED:.1f} sustained"
            for t in (31, 150, 1024, 4096, 16_384)
        ),
    ]


def activation_bytes(d: int, f: int, kv: int) -> int:
    """Bytes of one token and layer that the backward pass reads, in bf16 with float32 norms and sdpa.

    bf16: inputs of q, k, v and of gate and up (2·d), query and attention output (2·d), key and value (2·kv), gate,
    its activation, up, and their product (4·f). float32: the input of both norms (2·d).
    """
    return 2 * (4 * d + 2 * kv + 4 * f) + 4 * 2 * d


def study(flops: float, tokens: float) -> list[str]:
    """GPU-hours of the post's study at shares of the peak, on one H200 and on 8."""
    rates = {f"{share:.0%} of peak": share * PEAK for share in (1.0, 0.6, 0.4, 0.25)} | {"790 TFLOP/s": SUSTAINED}
    lines = [f"{flops:.3g} FLOPs, {tokens:,.0f} tokens, {flops / tokens / 1e9:.1f} GFLOP a token"]
    for name, rate in rates.items():
        hours = flops / rate / 3600
        lines.append(
            f"{name}: {hours:.1f} h on one, {60 * hours / 8:.0f} min on 8, {tokens / hours / 3600:,.0f} tokens/s"
        )
    return lines


def evaluations() -> list[str]:
    """Rows of one fine-tuning that are only evaluated, and forward passes in all, the usual way and ours."""
    updates = EPOCHS * -(-TRAIN // BATCH)
    validations = -(-updates // EVAL_EVERY)
    usual, ours = validations * (VAL + TEST), validations * VAL + TRAIN + VAL + TEST
    slow = EPOCHS * TRAIN * DISPATCH["trained"] + usual * DISPATCH["evaluated"]
    trained = 2 * EPOCHS * TRAIN  # a row that is trained on costs 4·N, two forward passes
    return [
        f"{updates} updates, {validations} validations; evaluated rows: usual {usual:,}, ours {ours:,}",
        f"{usual / ours:.1f} times the rows; {(trained + usual) / (trained + ours):.1f} times the FLOPs; "
        f"evaluation is {usual / (trained + usual):.0%} of the FLOPs there, {ours / (trained + ours):.0%} here; "
        f"test rows {validations * TEST / usual:.0%} of evaluated rows",
        f"micro-batch 1, if bound by dispatch: {slow / 3600:.1f} h a fine-tuning",
    ]


if __name__ == "__main__":
    main()
