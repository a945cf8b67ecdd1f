"""The network: a decoder-only transformer whose matrices may be seeded.

Legend: B batch, T time, S streams, D model width, H heads, K key/value heads, E head width, F hidden width,
V vocabulary, W window. Sources: grouped-query attention (Ainslie et al. 2023), rotary embedding (Su et al.
2021; partial as in GPT-NeoX), query and key normalisation (Henry et al. 2020), logit soft cap (Gemma 2),
squared leaky ReLU and the frozen-base design (parameter-golf 1095).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regrow.core.config.schema import ModelConfig
from regrow.network.attention import MAX_SCORE, band_attention, band_mask, step_attention
from regrow.network.bases import seeded_uniform
from regrow.network.hadamard import derive_seed
from regrow.network.lora import SeededLinear
from regrow.network.shapes import hidden_width
from regrow.ngram.recent import LENGTHS, Past


class Shape(NamedTuple):
    """What a block must know beside its weights: heads, key/value heads."""

    n_head: int
    n_kv_head: int


class BlockWeights(NamedTuple):
    """One block's matrices, merged and cast once for many tokens."""

    qkv: Tensor  # [(H + 2K) * E, D]
    out: Tensor  # [D, D]
    up: Tensor  # [F, D]
    down: Tensor  # [D, F]
    q_gain: Tensor  # [H, 1] float32, already divided by sqrt(E)
    attention_gain: Tensor  # [D]
    mlp_gain: Tensor  # [D]


class Suggested(NamedTuple):
    """What may come next, at each position K tokens and their weights [.., K]: the memory's likeliest with their
    probabilities, then what followed in the text itself (`regrow.ngram.recent`)."""

    tokens: Tensor
    weights: Tensor


RunBlock: TypeAlias = Callable[..., tuple[Tensor, Tensor, Tensor]]  # as `block_forward`


class DenseLinear(nn.Module):
    """An ordinary trained matrix [out, in], started uniform with variance 1 / in from its own seed."""

    def __init__(self, in_features: int, out_features: int, *, seed: int) -> None:
        super().__init__()
        self.dense = nn.Parameter(seeded_uniform(seed, out_features, in_features, (3.0 / in_features) ** 0.5))

    def weight(self) -> Tensor:
        """The matrix [out, in]."""
        return self.dense


class Block(nn.Module):
    """Attention, then an MLP, each added to the residual stream through a learned gain per channel."""

    def __init__(self, config: ModelConfig, root_seed: int, layer: int) -> None:
        super().__init__()
        d, kv = config.d_model, config.n_kv_head * (config.d_model // config.n_head)
        hidden = hidden_width(config)

        def linear(
            name: str, in_features: int, out_features: int, *, frozen: bool
        ) -> SeededLinear | DenseLinear:
            seed = derive_seed(root_seed, f"layers.{layer}.{name}")
            if not frozen:
                return DenseLinear(in_features, out_features, seed=seed)
            base, gain = config.base, config.base_gain
            return SeededLinear(in_features, out_features, config.r, seed=seed, base=base, gain=gain)

        attention_frozen, mlp_frozen = config.seeded == "all", config.seeded in ("all", "mlp")
        self.q = linear("q", d, d, frozen=attention_frozen)
        self.k = linear("k", d, kv, frozen=attention_frozen)
        self.v = linear("v", d, kv, frozen=attention_frozen)
        self.out = linear("out", d, d, frozen=attention_frozen)
        self.up = linear("up", d, hidden, frozen=mlp_frozen)
        self.down = linear("down", hidden, d, frozen=mlp_frozen)
        self.q_gain = nn.Parameter(torch.full((config.n_head, 1), config.qk_gain))
        self.attention_gain = nn.Parameter(torch.ones(d))
        self.mlp_gain = nn.Parameter(torch.ones(d))

    def weights(self, dtype: torch.dtype) -> BlockWeights:
        """Merge every adapter into its base and cast; differentiable."""
        head_width = self.attention_gain.numel() // self.q_gain.numel()
        limit = MAX_SCORE / head_width
        q_gain = self.q_gain.clamp(max=limit * head_width**0.5) * head_width**-0.5
        qkv = torch.cat((self.q.weight(), self.k.weight(), self.v.weight()))
        return BlockWeights(
            qkv.to(dtype), self.out.weight().to(dtype), self.up.weight().to(dtype), self.down.weight().to(dtype),
            q_gain, self.attention_gain.to(dtype), self.mlp_gain.to(dtype),
        )  # fmt: skip


@dataclass
class KeyValueCache:
    """Rotated keys and values of the last W tokens of S streams, a ring over positions.

    `keys`, `values`: one [S, K, W, E] a layer. Position p lies in slot p % W; `length` tokens have been seen.
    """

    keys: list[Tensor]
    values: list[Tensor]
    length: int = 0


class Transformer(nn.Module):
    """The decoder. Tokens in, hidden states or logits out; see `hidden`, `logits` and `step`."""

    def __init__(self, config: ModelConfig, vocab_size: int, seq_len: int, seed: int) -> None:
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        self.window = config.window or seq_len
        self.head_width = config.d_model // config.n_head
        bound = 3.0**0.5 * 0.05
        embedding = seeded_uniform(derive_seed(seed, "embedding"), vocab_size, config.d_model, bound)
        if config.n_layer:
            self.embedding: Tensor = nn.Parameter(embedding)
        else:  # no network: nothing is trained or stored, and every token is as likely as the others
            self.register_buffer("embedding", torch.zeros_like(embedding), persistent=False)
        self.tied = config.tied or not config.n_layer
        if not self.tied:
            self.input_embedding = nn.Parameter(embedding.clone())
        self.memory_input = config.memory_input if config.n_layer else 0
        if self.memory_input:
            self.memory_gain = nn.Parameter(torch.ones(1))
        self.recent_input = config.recent_input if config.n_layer else 0
        if self.recent_input:
            self.recent_gain = nn.Parameter(torch.ones(LENGTHS * config.d_model))
        self.blocks = nn.ModuleList(Block(config, seed, layer) for layer in range(config.n_layer))

    def past(self, bos_id: int) -> Past:
        """How much the network reads of a text's own past."""
        return Past(self.recent_input, self.config.recent_reach if self.recent_input else 0, bos_id)

    def weights(self, dtype: torch.dtype) -> list[BlockWeights]:
        """Every block's weights, merged and cast."""
        return [block.weights(dtype) for block in self._blocks()]

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

    def hidden(
        self,
        tokens_BT: Tensor,
        weights: list[BlockWeights],
        run_block: RunBlock | None = None,
        suggested: Suggested | None = None,
    ) -> Tensor:
        """Final normalised states [B, T, D] of sequences that begin where the text begins; T: multiple of the
        window. `run_block`: another form of `block_forward`, such as a compiled one. `suggested` [B, T, K]: where the
        network reads the memory."""
        return self.chunk(tokens_BT, weights, None, run_block, suggested)

    def chunk(
        self,
        tokens_BT: Tensor,
        weights: list[BlockWeights],
        cache: KeyValueCache | None,
        run_block: RunBlock | None = None,
        suggested: Suggested | None = None,
    ) -> Tensor:
        """The same for the next T tokens of B streams that `cache` remembers and that it then holds too.

        T and the cache's length are multiples of the window (a stream may be fed with padding at its end).
        """
        run_block = run_block or block_forward
        T = tokens_BT.size(1)
        dtype, device = _dtype_of(weights), tokens_BT.device
        window = min(self.window, T) if cache is None else self.window
        start = cache.length if cache else 0
        cos, sin = rotary_tables(start, T, self.config.rope_dims, device)
        mask = band_mask(window, T // window, device, with_past=start > 0)
        if cache is not None and window == T and start == 0:
            mask = band_mask(window, 1, device, with_past=False)
        shape = Shape(self.config.n_head, self.config.n_kv_head)
        x_BTD = self._first_states(tokens_BT, suggested, dtype)
        for layer, w in enumerate(weights):
            past: tuple[Tensor | None, Tensor | None] = (None, None)
            if cache is not None and start > 0:
                past = (cache.keys[layer].transpose(1, 2), cache.values[layer].transpose(1, 2))
            x_BTD, k_BTKE, v_BTKE = run_block(x_BTD, w, shape, cos, sin, mask, *past)
            if cache is not None:
                cache.keys[layer] = k_BTKE[:, -window:].transpose(1, 2).contiguous()
                cache.values[layer] = v_BTKE[:, -window:].transpose(1, 2).contiguous()
        if cache is not None:
            cache.length += T
        return rms_norm(x_BTD)

    def _first_states(self, tokens: Tensor, suggested: Suggested | None, dtype: torch.dtype) -> Tensor:
        """What the residual stream starts with: the embedding, and averages of those that are suggested times gains,
        normalised. Source of the memory's: the idea of COUNT (arXiv 2610.20456); the gains are ours."""
        x = F.embedding(tokens, (self.embedding if self.tied else self.input_embedding).to(dtype))
        K, N = self.memory_input, self.recent_input
        if not K and not N:
            return rms_norm(x)
        if suggested is None or suggested.tokens.size(-1) != K + LENGTHS * N:
            raise ValueError("this network reads more than tokens: give it what Mixture.suggested gives")
        if K:
            x = x + (self.memory_gain * self._average(suggested, slice(K))).view(x.shape).to(dtype)
        for length, gain in enumerate(self.recent_gain.chunk(LENGTHS) if N else ()):
            group = slice(K + length * N, K + length * N + N)
            x = x + (gain * self._average(suggested, group)).view(x.shape).to(dtype)
        return rms_norm(x)

    def _average(self, suggested: Suggested, group: slice) -> Tensor:
        """The weighted sum [R, D] of the embeddings of one group of the suggested tokens."""
        tokens, weights = (part[..., group].flatten(0, -2) for part in suggested)
        return F.embedding_bag(tokens, self.embedding, per_sample_weights=weights, mode="sum")

    def step(
        self,
        tokens_S: Tensor,
        weights: list[BlockWeights],
        cache: KeyValueCache,
        suggested: Suggested | None = None,
    ) -> Tensor:
        """Final normalised states [S, D] after one more token a stream; the cache moves on by one."""
        dtype = _dtype_of(weights)
        slot = cache.length % self.window
        seen_W = (torch.arange(self.window, device=tokens_S.device) <= cache.length).float()
        cos, sin = rotary_tables(cache.length, 1, self.config.rope_dims, tokens_S.device)
        H, K, E = self.config.n_head, self.config.n_kv_head, self.head_width
        x_SD = self._first_states(tokens_S, suggested, dtype)
        for layer, w in enumerate(weights):
            q, k, v = F.linear(rms_norm(x_SD), w.qkv).split_with_sizes((H * E, K * E, K * E), dim=-1)
            q_SHE = normal_rotated(q.view(-1, H, E), cos[0], sin[0], w.q_gain)
            cache.keys[layer][:, :, slot] = normal_rotated(k.view(-1, K, E), cos[0], sin[0], None)
            cache.values[layer][:, :, slot] = v.view(-1, K, E)
            mixed = step_attention(q_SHE, cache.keys[layer], cache.values[layer], seen_W)
            x_SD = mlp_forward(x_SD + F.linear(mixed, w.out) * w.attention_gain, w)
        cache.length += 1
        return rms_norm(x_SD)

    def logits(self, hidden: Tensor) -> Tensor:
        """Soft-capped logits [..., V] in float32 of final states [..., D]."""
        return capped_logits(hidden, self.embedding.to(hidden.dtype), self.config.softcap)

    def new_cache(self, streams: int, dtype: torch.dtype) -> KeyValueCache:
        """An empty cache for `streams` streams."""
        size = (streams, self.config.n_kv_head, self.window, self.head_width)
        device = self.embedding.device

        def rings() -> list[Tensor]:
            return [torch.zeros(size, dtype=dtype, device=device) for _ in self.blocks]

        return KeyValueCache(rings(), rings())


def _dtype_of(weights: list[BlockWeights]) -> torch.dtype:
    return weights[0].qkv.dtype if weights else torch.float32


def block_forward(
    x_BTD: Tensor,
    w: BlockWeights,
    shape: Shape,
    cos: Tensor,
    sin: Tensor,
    mask: Tensor,
    past_k_BWKE: Tensor | None,
    past_v_BWKE: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """One block over whole sequences: the new residual stream, and this layer's keys and values [B, T, K, E]."""
    B, T, D = x_BTD.shape
    H, K = shape
    E = D // H
    q, k, v = F.linear(rms_norm(x_BTD), w.qkv).split_with_sizes((H * E, K * E, K * E), dim=-1)
    q_BTHE = normal_rotated(q.view(B, T, H, E), cos, sin, w.q_gain)
    k_BTKE = normal_rotated(k.view(B, T, K, E), cos, sin, None)
    v_BTKE = v.view(B, T, K, E)
    mixed = band_attention(q_BTHE, k_BTKE, v_BTKE, past_k_BWKE, past_v_BWKE, mask)
    return mlp_forward(x_BTD + F.linear(mixed, w.out) * w.attention_gain, w), k_BTKE, v_BTKE


def mlp_forward(x: Tensor, w: BlockWeights) -> Tensor:
    """x + gain * down(leaky_relu(up(norm(x)), 0.5)^2)."""
    hidden = F.leaky_relu(F.linear(rms_norm(x), w.up), 0.5)
    return x + F.linear(hidden * hidden, w.down) * w.mlp_gain


def rms_norm(x: Tensor) -> Tensor:
    """Divide by the root mean square of the last axis, without a gain: the matrix that follows can hold one."""
    return F.rms_norm(x, (x.size(-1),), eps=1e-6)


def normal_rotated(x: Tensor, cos: Tensor, sin: Tensor, gain: Tensor | None) -> Tensor:
    """Normalise each head [.., heads, E], rotate its first dimensions, multiply by `gain` [heads, 1]; input's dtype."""
    y = rms_norm(x.float())
    half = cos.size(-1)
    a, b, rest = y[..., :half], y[..., half : 2 * half], y[..., 2 * half :]
    y = torch.cat((a * cos - b * sin, a * sin + b * cos, rest), dim=-1)
    return (y if gain is None else y * gain).to(x.dtype)


def rotary_tables(start: int, length: int, rope_dims: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine [length, 1, rope_dims / 2], float32, of positions start.. ; wavelengths up to 2 pi * 10,000.

    The angles are formed in float64, so that they stay exact far into a stream.
    """
    frequency = 10000.0 ** (-torch.arange(0, rope_dims, 2, dtype=torch.float64) / max(rope_dims, 1))
    angle = torch.arange(start, start + length, dtype=torch.float64)[:, None, None] * frequency
    return angle.cos().float().to(device), angle.sin().float().to(device)


def capped_logits(hidden: Tensor, embedding_VD: Tensor, cap: float) -> Tensor:
    """cap * tanh(hidden @ embedding^T / cap) in float32, [..., V]; a cap of 0 leaves the product as it is."""
    logits = F.linear(hidden, embedding_VD).float()
    return cap * torch.tanh(logits / cap) if cap > 0 else logits
