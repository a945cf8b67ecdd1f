"""What torch, numpy and Python's own functions do to abstract values."""

from __future__ import annotations

import ast
import re
from typing import Any, ClassVar

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.choices import Choices
from regrow.challenge.audit.flow.domain import (
    MISSING,
    NOTHING,
    ClassDef,
    Elements,
    External,
    Function,
    Instance,
    Value,
)
from regrow.challenge.audit.flow.library.learning import Learning

_VIEWS = frozenset(
    "reshape view flatten long int short to cpu cuda numpy contiguous clone detach squeeze unsqueeze "
    "astype copy tolist item "
    "ravel expand expand_as type pin_memory transpose permute flip pad narrow split chunk unfold "
    "roll repeat tile "
    "repeat_interleave share_memory_ non_blocking float double half bfloat16 type_as view_as values "
    "numpy_ tobytes "
    "asarray array ascontiguousarray as_tensor tensor from_numpy frombuffer cat concat concatenate "
    "stack hstack vstack list tuple "
    "LongTensor IntTensor sorted reversed iter next deque deepcopy compress dumps encode pop popleft "
    "uint64 int64 int32 uint32 uint16 intp "
    "requires_grad_ index_select take masked_select where_ broadcast_to fromiter compile "
    "data_ptr unbind nan_to_num".split()
)
_SIZES = frozenset(
    "len numel size dim shape is_available get_rank get_world_size time perf_counter bool isinstance id type "
    "exists is_file callable hasattr element_size stat basename".split()
)
_PIECES = frozenset(
    "id_to_piece IdToPiece convert_ids_to_tokens id_to_token decode_single_token_bytes".split()
)
_READS = frozenset(
    "glob rglob iglob fromfile memmap load open read read_bytes read_text readlines frombuffer Path "
    "sorted load_file safe_open "
    "iterdir read_table loadtxt listdir join load_data_shard readinto str fspath resolve expanduser "
    "with_name replace format int".split()
)
_SUMS = frozenset("sum mean item nansum nanmean average cumsum fsum".split())
_LOGS = frozenset("log log2 log1p log10 logaddexp logaddexp2 logsumexp".split())
_EXPS = frozenset("exp exp2 expm1 exp_ softmax".split())
_ROWS = frozenset(
    "softmax log_softmax linear forward_logits lm_head logits compiled_logits forward_hidden".split()
)
_OPTIMIZERS = re.compile(
    r"(^|\.)(SGD|Adam\w*|RMSprop|Adagrad|LBFGS|Muon|Adafactor|Lion|Optimizer|NAdam|RAdam|Rprop)$"
)
_ADDERS = re.compile(
    r"^(add|bitwise_xor|bitwise_and|bitwise_or|remainder|mul|copy|index_add|scatter_add|scatter|index_copy|index_put|put|sub|fill|div)_$"
)
_WRITERS = frozenset("write write_bytes save dump tofile savez savez_compressed save_file write_text".split())
_XORS = frozenset("bitwise_xor multiply mul left_shift bitwise_left_shift".split())
_REDUCERS = frozenset("remainder fmod mod bitwise_and right_shift bitwise_right_shift".split())
_HASHES = frozenset("hash md5 sha1 sha256 blake2b xxh64 xxh32 xxh3_64 crc32 adler32 murmur3 mmh3".split())


def whole_of(args: list[Value]) -> Value:
    """Everything that any argument is made of."""
    return v.union(*args)


class Externals(Choices):
    """Transfer functions of libraries."""

    def external_call(
        self,
        dotted: str,
        receiver: Value,
        name: str,
        args: list[Value],
        kwargs: dict[str, Value],
        node: ast.Call,
    ) -> Value:
        """Result of calling something outside the submission."""
        last = name or dotted.rsplit(".", 1)[-1]
        if dotted and "." not in dotted and not isinstance(node.func, ast.Attribute):
            last = dotted
        elif dotted:
            last = dotted.rsplit(".", 1)[-1] if not dotted.startswith("instance.") else name
        handler = self._handlers.get(last)
        if handler is not None:
            result = handler(self, receiver, args, kwargs, node, dotted)
            if result is not None:
                return result  # type: ignore[no-any-return]
        given = [*args, *kwargs.values()]
        if dotted and _OPTIMIZERS.search(dotted):
            made = Instance(
                None, "optimizer", {"params": v.union(*[self.flat(a) for a in given])}, node.lineno
            )
            made.attrs["fresh"], made.moves = Value(const=self.is_fresh(node)), self.moved_by(node)
            return Value(ref=made)
        if last in _PIECES and any(a.tags & v.TGT for a in args):
            return whole_of(args).with_tags(v.PROP, v.ROLE, self.spot(node))
        if last == "len" and args and args[0].tags & v.PROP:
            return Value((args[0].tags & v.ORIGIN) | v.PROP | v.BYTES)  # the length of the target's text
        if last in _SIZES:
            return NOTHING
        module = receiver if not isinstance(receiver.ref, External) else NOTHING
        sources = [module, *args, *kwargs.values()] if kwargs else [module, *args]
        flat = [self.flat(s) if isinstance(s.ref, Elements) else s for s in sources]
        whole = v.union(*flat)
        if last in _READS and whole.tags & (v.FILES_VAL | v.FILES_TRAIN):
            return self._read_files(whole, last)
        return self._computed(last, dotted, module, args, kwargs, whole, node)

    def _read_files(self, whole: Value, last: str) -> Value:
        tags = whole.tags & (v.FILES_VAL | v.FILES_TRAIN)
        if last in (
            "fromfile",
            "memmap",
            "read",
            "read_bytes",
            "load",
            "frombuffer",
            "load_data_shard",
            "readinto",
        ):
            tags |= v.TOK | (v.VAL if tags & v.FILES_VAL and not tags & v.FILES_TRAIN else 0)
            tags |= v.TRAIN if tags & v.FILES_TRAIN else 0
        return Value(tags, why=whole.why)

    def _computed(
        self,
        last: str,
        dotted: str,
        module: Value,
        args: list[Value],
        kwargs: dict[str, Value],
        whole: Value,
        node: ast.Call,
    ) -> Value:
        if last in _VIEWS or last in _READS:
            return self._view(last, module, args, whole)
        tags = whole.tags
        if last.endswith("_") and _ADDERS.match(last) and isinstance(node.func, ast.Attribute):
            return self._in_place(last, module, args, whole, node)
        if last in _ROWS or last == "F.linear":
            out = whole.plain(v.KEEP)
            return out.with_tags(v.DIST) if not tags & v.GOLD else out
        if last in _LOGS:
            if tags & v.COUNT_T and not tags & v.GOLD:
                self.event("mix", node, whole)
            if len(args) > 1:
                self.mixing(node, args[0], args[1])
            return whole.plain(v.KEEP)
        if last in _EXPS:
            return whole.plain(v.KEEP)
        if last in _XORS and len(args) + bool(module.tags) > 1:
            return whole.with_tags(v.MIXED if tags & (v.TOK | v.KEY | v.KEYT | v.MIXED) else 0)
        if last in _REDUCERS and tags & (v.MIXED | v.KEY | v.KEYT):
            return whole.with_tags(
                v.KEY | (v.KEYT if tags & (v.TGT | v.KEYT) else 0),
                v.MIXED | v.TOK | v.TGT | v.CTX,
                self.spot(node),
            )
        if last in _HASHES and tags & v.TOK:
            return whole.with_tags(
                v.KEY | (v.KEYT if tags & v.TGT else 0), v.MIXED | v.TOK | v.TGT | v.CTX, self.spot(node)
            )
        if last in ("abs", "max", "min", "clip") or last in _SUMS:
            out = whole.plain()
            if last == "sum" and tags & v.COUNT_C and not tags & v.GOLD:
                out = out.with_tags(v.NORM)
            return (
                out.with_tags(v.SCORE)
                if last in _SUMS and tags & v.GOLD and last != "item" and last != "cumsum"
                else out
            )
        if last in _WRITERS:
            flat = [self.flat(a) for a in (*args, *kwargs.values())]
            data = next((a for a in flat if a.tags & v.TOK), flat[0] if flat else NOTHING)
            self.event("stored", node, data, other=v.union(module, *[a for a in flat if a is not data]))
            return NOTHING
        if self._calls_a_model(last, module, args, kwargs):
            return self._model(last, whole, args, kwargs, node)
        return whole.plain(v.KEEP | (v.BYTES if "byte" in last else 0))

    def _view(self, last: str, module: Value, args: list[Value], whole: Value) -> Value:
        if last in (
            "cat",
            "concat",
            "concatenate",
            "stack",
            "list",
            "tuple",
            "array",
            "tensor",
            "asarray",
            "sorted",
            "deepcopy",
            "reversed",
            "as_tensor",
            "hstack",
        ):
            source = args[0] if args else module
            if last in ("list", "tuple", "sorted", "deepcopy", "reversed") and isinstance(
                source.ref, Elements | Instance
            ):
                return source
            return self.flat(source)
        if last in ("pop", "popleft", "next", "iter") or (
            last == "values" and isinstance(module.ref, Elements)
        ):
            source = module if module is not NOTHING else (args[0] if args else NOTHING)
            if last == "values" and isinstance(source.ref, Elements):
                return Value(ref=Elements("list", None, source.ref.summary()))
            return self.element(source) if last != "iter" else source
        if isinstance(module.ref, Instance) and not module.tags:
            return module
        if last in ("take", "index_select") and len(args) + bool(module.tags) > 1:
            index = args[-1]
            if index.tags & v.KEYT:
                self.event("lookup", ast.Constant(0), index) if False else None
        if module.tags & (v.FILES_VAL | v.FILES_TRAIN | v.TOK):
            return Value(
                module.tags | (whole.tags & v.ORIGIN),
                MISSING,
                None,
                whole.cuts,
                whole.losses,
                whole.loops,
                whole.why,
            )
        return whole

    def _in_place(self, last: str, module: Value, args: list[Value], whole: Value, node: ast.Call) -> Value:
        assert isinstance(node.func, ast.Attribute)
        tags = whole.tags
        result = whole
        if any(a.tags & (v.KEY | v.KEYT) for a in args) and re.match(r"index|scatter|put", last):
            self.event("update", node, whole)
            return module
        if last in ("bitwise_xor_", "mul_", "add_") and tags & (v.TOK | v.KEY | v.KEYT | v.MIXED):
            result = whole.with_tags(v.MIXED)
        elif last in ("remainder_", "bitwise_and_") and tags & (v.MIXED | v.KEY):
            result = whole.with_tags(
                v.KEY | (v.KEYT if tags & (v.TGT | v.KEYT) else 0),
                v.MIXED | v.TOK | v.TGT | v.CTX,
                self.spot(node),
            )
        target: ast.expr = node.func.value
        self.step_by_hand(node, module, v.union(*args))
        if last == "add_" and args:
            self.accumulate(node, target, module, args[0])
        if last == "copy_" and isinstance(target, ast.Name) and args:
            result = whole
        while isinstance(target, ast.Subscript):
            target = target.value
        if isinstance(target, ast.Name) and module.ref is None:
            self.bind(
                target,
                Value(
                    result.tags | module.tags if last != "bitwise_and_" else result.tags,
                    MISSING,
                    None,
                    result.cuts,
                    result.losses,
                    result.loops,
                    result.why,
                ),
            )
        return result

    # --- models, losses, optimisers
    # -------------------------------------------------------------------------------

    def _at(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        """np.add.at(table, index, 1)"""
        if len(args) > 1:
            self.event("update", node, args[1])
        return NOTHING

    def _bincount(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        if args and args[0].tags & (v.KEY | v.KEYT):
            self.event("update", node, args[0])
            return Value(args[0].tags & v.ORIGIN)
        return None

    def _hook(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        self.event("hook", node, NOTHING)
        for arg in args:
            if isinstance(arg.ref, Function):
                self.called.add(id(arg.ref.node))
        return NOTHING

    def _embedding(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        return v.union(*args, keep=v.KEEP) if args else NOTHING

    def function_targets(self, node: ast.AST) -> frozenset[str]:
        """Defined with the statements."""
        raise NotImplementedError

    def block(self, body: list[ast.stmt]) -> str | None:
        """Defined with the statements."""
        raise NotImplementedError

    _groups: ClassVar[tuple[tuple[Any, str], ...]] = (
        (Learning._cross_entropy, "cross_entropy nll_loss CrossEntropyLoss"),
        (Learning._gather, "gather take_along_dim take_along_axis index_select take"),
        (Learning._backward, "backward"),
        (Learning._grad, "grad"),
        (Learning._step, "step"),
        (Learning._zero_grad, "zero_grad"),
        (Learning._parameters_of, "parameters named_parameters"),
        (Learning._parameter, "Parameter"),
        (Learning._tensor_maker, "zeros randn ones empty rand full zeros_like ones_like empty_like"),
        (Learning._requires_grad, "requires_grad_"),
        (
            Choices._identity,
            "compile DDP DistributedDataParallel to cuda bfloat16 eval train njit jit disable "
            "script half cpu deepcopy lru_cache cache vmap identity",
        ),
        (Choices._float, "float"),
        (
            Choices._container,
            "ModuleList ModuleDict Sequential defaultdict Counter OrderedDict dict list deque Embedding",
        ),
        (Choices._append, "append extend add appendleft"),
        (Choices._get, "get getenv"),
        (Choices._convert, "int bool str"),
        (Choices._string_method, "strip lower split upper startswith replace endswith format"),
        (Choices._where, "where"),
        (Choices._minimum, "minimum fmin min"),
        (Choices._maximum, "max"),
        (Choices._clamp, "clamp clip clamp_ clamp_max"),
        (_at, "at"),
        (_bincount, "bincount"),
        (_hook, "register_forward_hook register_forward_pre_hook"),
        (Choices._partial, "partial"),
        (Choices._getattr, "getattr"),
        (Choices._field, "field"),
        (Choices._zip, "zip enumerate"),
        (Choices._items, "items"),
        (Choices._range, "range trange arange"),
        (_embedding, "embedding embedding_bag"),
    )
    _handlers: ClassVar[dict[str, Any]] = {
        name: method for method, names in _groups for name in names.split()
    }


__all__ = ["ClassDef", "Externals"]
