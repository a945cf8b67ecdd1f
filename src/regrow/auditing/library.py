"""What torch, numpy and Python's own functions do to abstract values."""

from __future__ import annotations

import ast
import re
from typing import Any

from regrow.auditing import values as v
from regrow.auditing.expressions import Expressions, _LENGTH_NAME, _name_of
from regrow.auditing.values import MISSING, NOTHING, Bound, ClassDef, Elements, External, Function, Instance, Partial, Value

_VIEWS = frozenset(
    "reshape view flatten long int short to cpu cuda numpy contiguous clone detach squeeze unsqueeze astype copy tolist item "
    "ravel expand expand_as type pin_memory transpose permute flip pad narrow split chunk unfold roll repeat tile "
    "repeat_interleave share_memory_ non_blocking float double half bfloat16 type_as view_as values numpy_ tobytes "
    "asarray array ascontiguousarray as_tensor tensor from_numpy frombuffer cat concat concatenate stack hstack vstack list tuple "
    "LongTensor IntTensor sorted reversed iter next deque deepcopy compress dumps encode pop popleft uint64 int64 int32 uint32 uint16 intp "
    "requires_grad_ index_select take masked_select where_ broadcast_to fromiter compile data_ptr unbind nan_to_num".split()
)
_SIZES = frozenset("len numel size dim shape is_available get_rank get_world_size time perf_counter bool isinstance id type "
                   "exists is_file callable hasattr element_size stat basename".split())  # fmt: skip
_READS = frozenset(
    "glob rglob iglob fromfile memmap load open read read_bytes read_text readlines frombuffer Path sorted load_file safe_open "
    "iterdir read_table loadtxt listdir join load_data_shard readinto str fspath resolve expanduser with_name replace format int".split()
)
_SUMS = frozenset("sum mean item nansum nanmean average cumsum fsum".split())
_LOGS = frozenset("log log2 log1p log10 logaddexp logaddexp2 logsumexp".split())
_EXPS = frozenset("exp exp2 expm1 exp_ softmax".split())
_ROWS = frozenset("softmax log_softmax linear forward_logits lm_head logits compiled_logits forward_hidden".split())
_OPTIMIZERS = re.compile(r"(^|\.)(SGD|Adam\w*|RMSprop|Adagrad|LBFGS|Muon|Adafactor|Lion|Optimizer|NAdam|RAdam|Rprop)$")
_ADDERS = re.compile(r"^(add|bitwise_xor|bitwise_and|bitwise_or|remainder|mul|copy|index_add|scatter_add|scatter|index_copy|index_put|put|sub|fill|div)_$")
_WRITERS = frozenset("write write_bytes save dump tofile savez savez_compressed save_file write_text".split())
_XORS = frozenset("bitwise_xor multiply mul left_shift bitwise_left_shift".split())
_REDUCERS = frozenset("remainder fmod mod bitwise_and right_shift bitwise_right_shift".split())
_HASHES = frozenset("hash md5 sha1 sha256 blake2b xxh64 xxh32 xxh3_64 crc32 adler32 murmur3 mmh3".split())


class Library(Expressions):
    """Transfer functions of libraries."""

    def library_call(self, dotted: str, receiver: Value, name: str, args: list[Value], kwargs: dict[str, Value], node: ast.Call) -> Value:
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
            made = Instance(None, "optimizer", {"params": v.union(*[self.flat(a) for a in given])}, node.lineno)
            made.attrs["fresh"] = Value(const=self.is_fresh(node))
            return Value(ref=made)
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
        if last in ("fromfile", "memmap", "read", "read_bytes", "load", "frombuffer", "load_data_shard", "readinto"):
            tags |= v.TOK | (v.VAL if tags & v.FILES_VAL and not tags & v.FILES_TRAIN else 0)
            tags |= v.TRAIN if tags & v.FILES_TRAIN else 0
        return Value(tags, why=whole.why)

    def _computed(self, last: str, dotted: str, module: Value, args: list[Value], kwargs: dict[str, Value], whole: Value, node: ast.Call) -> Value:
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
            return whole.with_tags(v.KEY | (v.KEYT if tags & (v.TGT | v.KEYT) else 0), v.MIXED | v.TOK | v.TGT | v.CTX, self.spot(node))
        if last in _HASHES and tags & v.TOK:
            return whole.with_tags(v.KEY | (v.KEYT if tags & v.TGT else 0), v.MIXED | v.TOK | v.TGT | v.CTX, self.spot(node))
        if last in ("abs", "max", "min", "clip") or last in _SUMS:
            out = whole.plain()
            if last == "sum" and tags & v.COUNT_C and not tags & v.GOLD:
                out = out.with_tags(v.NORM)
            return out.with_tags(v.SCORE) if last in _SUMS and tags & v.GOLD and last != "item" and last != "cumsum" else out
        if last in _WRITERS:
            flat = [self.flat(a) for a in args]
            data = next((a for a in flat if a.tags & v.TOK), flat[0] if flat else NOTHING)
            self.event("stored", node, data, other=v.union(module, *[a for a in flat if a is not data]))
            return NOTHING
        if self._calls_a_model(last, module, args, kwargs):
            return self._model(last, whole, args, kwargs, node)
        return whole.plain(v.KEEP | (v.BYTES if "byte" in last else 0))

    def _view(self, last: str, module: Value, args: list[Value], whole: Value) -> Value:
        if last in ("cat", "concat", "concatenate", "stack", "list", "tuple", "array", "tensor", "asarray", "sorted", "deepcopy", "reversed", "as_tensor", "hstack"):
            source = args[0] if args else module
            if last in ("list", "tuple", "sorted", "deepcopy", "reversed") and isinstance(source.ref, Elements | Instance):
                return source
            return self.flat(source)
        if last in ("pop", "popleft", "next", "iter") or (last == "values" and isinstance(module.ref, Elements)):
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
            return Value(module.tags | (whole.tags & v.ORIGIN), MISSING, None, whole.cuts, whole.losses, whole.loops, whole.why)
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
            result = whole.with_tags(v.KEY | (v.KEYT if tags & (v.TGT | v.KEYT) else 0), v.MIXED | v.TOK | v.TGT | v.CTX, self.spot(node))
        target: ast.expr = node.func.value
        if last == "add_" and args:
            self.accumulate(node, target, module, args[0])
        if last == "copy_" and isinstance(target, ast.Name) and args:
            result = whole
        while isinstance(target, ast.Subscript):
            target = target.value
        if isinstance(target, ast.Name) and module.ref is None:
            self.bind(target, Value(result.tags | module.tags if last != "bitwise_and_" else result.tags, MISSING, None, result.cuts, result.losses, result.loops, result.why))
        return result

    # --- models, losses, optimisers -------------------------------------------------------------------------------

    def _calls_a_model(self, last: str, module: Value, args: list[Value], kwargs: dict[str, Value]) -> bool:
        if not any(a.tags & v.TOK for a in (*args, *kwargs.values())):
            return False
        return bool(re.search(r"model|forward|logits|net$|^fwd|^gpt|_fn$|loss", last)) or bool(module.tags & v.PARAM)

    def _model(self, last: str, whole: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call) -> Value:
        self.model_called(node, [*args, *kwargs.values()])
        out = whole.plain(v.KEEP)
        if any(a.tags & v.TGT for a in (*args, *kwargs.values())) and "logits" not in last:
            return self.gold(out, node, summed=True)
        return out.with_tags(v.DIST)

    def model_called(self, node: ast.AST, args: list[Value]) -> None:
        """A model sees data; with hooks on it, that is calibration."""
        data = v.union(*args) if args else NOTHING
        if data.tags & v.TOK:
            self.event("model", node, data)

    def _cross_entropy(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        given = [*args, *kwargs.values()]
        if len(given) < 2:
            return Value(ref=External("torch.nn.functional.cross_entropy")) if not given or dotted.endswith("Loss") else None
        reduction = kwargs.get("reduction")
        summed = reduction is None or reduction.const != "none"
        whole = v.union(*given)
        origin = whole.tags & v.TGT or whole.tags & v.TOK
        out = Value(whole.tags & v.KEEP, MISSING, None, whole.cuts, whole.losses, whole.loops, whole.why)
        return self.gold(out, node, summed) if origin or whole.tags & v.ORIGIN else out.with_tags(v.GOLD)

    def _gather(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        given = [receiver, *args, *kwargs.values()] if not isinstance(receiver.ref, External) else [*args, *kwargs.values()]
        index = v.union(*[a for a in given[1:]]) if len(given) > 1 else NOTHING
        base = given[0] if given else NOTHING
        whole = v.union(*given)
        if index.tags & v.KEYT:
            self.event("lookup", node, index)
            return whole.plain(v.KEEP).with_tags(v.COUNT_T, v.GOLD | v.DIST, self.spot(node))
        if index.tags & v.KEY:
            return whole.plain(v.KEEP).with_tags(v.COUNT_C)
        if index.tags & v.TGT:
            if base.tags & v.COUNT_C and base.tags & v.VOCAB and not base.tags & v.NORM:
                return whole.plain(v.KEEP).with_tags(v.COUNT_T, v.VOCAB, self.spot(node))
            if base.tags & v.BYTES or "byte" in _name_of(node.func) or _LENGTH_NAME.search(_name_of(_first(node))):
                return whole.plain(v.KEEP).with_tags(v.PROP | v.BYTES, 0, self.spot(node))
            return self.gold(whole.plain(v.KEEP), node)
        return whole.plain(v.KEEP)

    def _backward(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        loss = receiver if not isinstance(receiver.ref, External | Instance) else (args[0] if args else NOTHING)
        loss = self.flat(loss)
        self.gradient = [loss] if self.stepped else [*self.gradient[-3:], loss]
        self.stepped = False
        self.event("backward", node, loss)
        return NOTHING

    def _grad(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        if "autograd" not in dotted or not args:
            return None
        loss = self.flat(args[0])
        self.event("backward", node, loss)
        self.event("step", node, loss, other=self.flat(args[1]) if len(args) > 1 else NOTHING)
        return loss.plain(v.KEEP & ~v.GOLD)

    def _step(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        name = ast.unparse(node.func) if isinstance(node.func, ast.Attribute) else ""
        ref = receiver.ref
        is_optimizer = isinstance(ref, Instance) and ref.kind == "optimizer"
        if re.search(r"(?i)sched|profil|prof\.|lr_|ema|swa", name) and not is_optimizer:
            return NOTHING
        if not is_optimizer and not re.search(r"(?i)opt|adam|muon|sgd|scaler", name):
            return None
        if args and isinstance(args[0].ref, Function):  # a closure that computes the loss again
            self.call_function(args[0].ref, [], {}, None)
        data = v.union(*self.gradient) if self.gradient else NOTHING
        self.stepped = True
        params = ref.attrs.get("params", NOTHING) if isinstance(ref, Instance) else NOTHING
        fresh = isinstance(ref, Instance) and ref.attrs.get("fresh", NOTHING).const is True
        self.event("step", node, data, f"{'fresh' if fresh else ''}:{id(ref) if is_optimizer else 0}", other=params)
        return NOTHING

    def is_fresh(self, node: ast.Call) -> bool:
        """Whether the parameters an optimiser is made for belong to an object that this very function has built."""
        first = node.args[0] if node.args else next((k.value for k in node.keywords if k.arg == "params"), None)
        roots = {n.id for n in ast.walk(first) if isinstance(n, ast.Name)} if first is not None else set()
        built = {
            t.id
            for step in (ast.walk(self.function_node) if self.function_node is not None else ())
            if isinstance(step, ast.Assign) and any(map(_constructs, ast.walk(step.value)))
            for t in step.targets
            if isinstance(t, ast.Name)
        }
        return bool(roots & built)

    def _zero_grad(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        self.gradient = []
        return NOTHING

    def _parameters_of(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        return Value(v.PARAM)

    def _parameter(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        inside = any(c.is_module for c in self.class_stack) or self._in_module()
        base = args[0] if args else NOTHING
        if inside:
            return Value(base.tags & v.KEEP & ~v.LEAF | v.PARAM)
        return Value(base.tags & v.KEEP | v.LEAF, why={v.LEAF: self.spot(node)})

    def _in_module(self) -> bool:
        owner = self.scope.names.get("self")
        ref = owner.ref if owner is not None else None
        return isinstance(ref, Instance) and ref.cls is not None and ref.cls.is_module

    def _tensor_maker(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        wants = kwargs.get("requires_grad")
        if wants is not None and wants.const is True and not self._in_module():
            return Value(v.LEAF, why={v.LEAF: self.spot(node)})
        return NOTHING

    def _requires_grad(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        if args and args[0].const is False or receiver.tags & v.PARAM or isinstance(receiver.ref, Instance) or self._in_module():
            return receiver
        out = receiver.with_tags(v.LEAF, 0, self.spot(node))
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            self.bind(node.func.value, out)
        return out

    def _identity(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        if isinstance(node.func, ast.Attribute) and not isinstance(receiver.ref, External):
            return receiver  # data or a module moved, cast or switched: still itself
        if args and args[0].ref is not None and not isinstance(args[0].ref, Elements):
            return args[0]
        if not args and not kwargs and dotted and not receiver.tags:
            return Value(ref=External("builtins.identity"))
        return None

    def _container(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        """A module list, a Counter, a defaultdict: an object whose elements are those given."""
        if args and isinstance(args[0].ref, Elements):
            return args[0]
        if dotted.rsplit(".", 1)[-1] in ("defaultdict", "Counter", "OrderedDict", "dict"):
            return Value(ref=Elements("dict", None, NOTHING, dict(kwargs)))
        if dotted.rsplit(".", 1)[-1] in ("list", "deque"):
            return Value(ref=Elements("list", None, self.element(args[0]) if args else NOTHING))
        return None

    def _append(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        if not isinstance(node.func, ast.Attribute) or not args:
            return None
        value = args[-1]
        if node.func.attr in ("extend", "update"):
            value = self.element(value)
        ref = receiver.ref
        if isinstance(ref, Elements):
            if ref.items is not None and node.func.attr in ("append", "add"):
                ref.items.append(value)
                if len(ref.items) > 20 or self.loops:
                    ref.rest, ref.items = ref.summary(), None
            elif ref.items is not None:
                ref.rest, ref.items = (v.join(ref.summary(), value) if ref.items else value), None
            else:
                ref.rest = value if ref.rest is NOTHING else v.join(ref.rest, value)
        if value.tags & v.GOLD and node.func.attr == "append":
            self.score_event(node, value, node.func.value)
        return NOTHING if isinstance(ref, Elements) else None

    def _get(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        if dotted.endswith("environ.get") or dotted.endswith("getenv"):
            return self._environment(args)
        if not args:
            return None
        index = args[0]
        ref = receiver.ref
        if index.tags & v.KEYT:
            self.event("lookup", node, index)
            inner = ref.summary() if isinstance(ref, Elements) else receiver
            if isinstance(inner.ref, Elements):
                return inner
            return v.union(inner, index, keep=v.KEEP).with_tags(v.COUNT_T, v.GOLD | v.DIST, self.spot(node))
        if isinstance(ref, Elements):
            if ref.keyed is not None and isinstance(index.const, str) and index.const in ref.keyed:
                return ref.keyed[index.const]
            found = ref.summary()
            return v.join(found, *args[1:2]) if len(args) > 1 else found
        return None

    def _environment(self, args: list[Value]) -> Value:
        name = args[0].const if args else MISSING
        default = args[1] if len(args) > 1 else Value(const=None)
        if name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
            return NOTHING  # set by the launcher
        if isinstance(name, str) and name in self.environment:
            found = self.environment[name]
            if found is None:
                return Value(default.tags)
            tags = self._constant(ast.Constant(found)).tags
            return Value(tags | default.tags, found)
        return default

    def environment_store(self, target: ast.Subscript, index: Value, value: Value) -> None:
        """`os.environ["X"] = "1"`: the script sets its own switch."""
        if isinstance(target.value, ast.Attribute) and target.value.attr == "environ" and isinstance(index.const, str):
            if isinstance(value.const, str):
                self.environment[index.const] = value.const

    def _convert(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        """int, float, bool, str of constants."""
        if not args or isinstance(node.func, ast.Attribute) or dotted not in ("int", "float", "bool", "str"):
            return None
        const = args[0].const
        if const is MISSING or isinstance(const, type(None)):
            return args[0].plain() if const is MISSING else args[0]
        try:
            kind: Any = {"int": int, "float": float, "bool": bool, "str": str}[dotted]
            return Value(args[0].tags, kind(const.replace("_", "") if dotted in ("int", "float") and isinstance(const, str) else const))
        except (ValueError, TypeError, OverflowError):
            return NOTHING

    def _float(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        """`float(x)` converts a constant; `x.float()` is x."""
        if isinstance(node.func, ast.Attribute) and not isinstance(receiver.ref, External):
            return receiver
        return self._convert(receiver, args, kwargs, node, dotted)

    def _string_method(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        if isinstance(receiver.const, str) and isinstance(node.func, ast.Attribute):
            given = [a.const for a in args]
            if MISSING in given or kwargs:
                return Value(receiver.tags)
            try:
                out = getattr(receiver.const, node.func.attr)(*given)
            except (TypeError, ValueError, AttributeError):
                return Value(receiver.tags)
            if isinstance(out, list):
                return Value(receiver.tags, ref=Elements("list", [Value(0, o) for o in out[:60]]))
            return Value(receiver.tags, out) if isinstance(out, str | bool) else Value(receiver.tags)
        return None

    def _where(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        if len(args) < 3:
            return None
        test, one, other = args[:3]
        if test.tags & v.GOLD and test.tags & v.COND_T and (one.tags & v.GOLD or other.tags & v.GOLD):
            self.event("select", node, v.union(one, other))
        self.mixing(node, one, other, ast.Mod())
        out = v.join(one, other)
        gated = test.tags & v.PROP and not test.tags & (v.BYTES | v.HITS) and out.tags & (v.GOLD | v.DIST) and not out.tags & v.COUNT_T
        add = v.COND_T if gated else 0
        return Value(out.tags | (test.tags & v.ORIGIN), MISSING, None, out.cuts, out.losses, out.loops | test.loops, out.why).with_tags(add, 0, self.spot(node))

    def _minimum(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        given = ([receiver] if receiver.ref is None and receiver.tags else []) + args
        if len(given) == 1 and isinstance(given[0].ref, Elements):
            items = given[0].ref.items
            given = items if items is not None else given
        gold = [g for g in given if g.tags & v.GOLD and not g.tags & v.SCORE]
        if len(gold) > 1 and gold[0] is not gold[1]:
            self.event("select", node, v.union(*gold))
        consts = [a.const for a in args]
        if len(consts) > 1 and MISSING not in consts and not any(isinstance(c, str | type(None)) for c in consts):
            return Value(0, min(consts))
        clamped = [g for g in given if g.tags & v.TGT and g.tags & v.TOK]
        if clamped and len(given) > 1 and dotted.startswith(("np", "numpy", "torch")):
            self.event("clamp", node, clamped[0])
        return v.union(*given) if given else None

    def _maximum(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        consts = [a.const for a in args]
        if len(consts) > 1 and MISSING not in consts and not any(isinstance(c, str | type(None)) for c in consts):
            return Value(0, max(consts))
        return None

    def _clamp(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        given = [receiver, *args] if not isinstance(receiver.ref, External) else args
        if given and given[0].tags & v.TGT and given[0].tags & v.TOK:
            upper = kwargs.get("max", kwargs.get("a_max", given[2] if len(given) > 2 else None))
            if upper is not None and upper.const is not None:
                self.event("clamp", node, given[0])
        return given[0].plain() if given else None

    def _at(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        """np.add.at(table, index, 1)"""
        if len(args) > 1:
            self.event("update", node, args[1])
        return NOTHING

    def _bincount(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        if args and args[0].tags & (v.KEY | v.KEYT):
            self.event("update", node, args[0])
            return Value(args[0].tags & v.ORIGIN)
        return None

    def _hook(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        self.event("hook", node, NOTHING)
        for arg in args:
            if isinstance(arg.ref, Function):
                self.called.add(id(arg.ref.node))
        return NOTHING

    def _partial(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        return Value(ref=Partial(args[0], args[1:], kwargs)) if args else None

    def _getattr(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        if len(args) >= 2 and isinstance(args[1].const, str) and not isinstance(node.func, ast.Attribute):
            found = self.attribute(args[0], args[1].const, node)
            known = found.ref is not None or found.tags or found.const is not MISSING
            return found if known or len(args) < 3 else v.join(found, args[2])
        return None

    def _zip(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        if isinstance(node.func, ast.Attribute):
            return None
        items = [self.element(a) for a in args]
        if dotted == "enumerate":
            items = [NOTHING, *items[:1]]
        return Value(ref=Elements("list", None, Value(ref=Elements("tuple", items))))

    def _items(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        if isinstance(receiver.ref, Elements):
            pair = Value(ref=Elements("tuple", [NOTHING, receiver.ref.summary()]))
            return Value(ref=Elements("list", None, pair))
        return None

    def _range(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        whole = "arange" in dotted and args and re.search(r"(?i)vocab|(^|\W)V(\W|$)|n_tok", ast.unparse(node.args[0] if len(args) == 1 else node.args[1]))
        return Value(v.VOCAB if whole else 0, loops=frozenset().union(*[a.loops for a in args])) if args else NOTHING

    def _embedding(self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str) -> Value | None:
        return v.union(*args, keep=v.KEEP) if args else NOTHING

    def special_method(self, bound: Bound, name: str, args: list[Value], kwargs: dict[str, Value], node: ast.Call) -> Value | None:
        """Methods of the submission's optimisers and modules that the walk need not follow."""
        ref = bound.receiver.ref
        if isinstance(ref, Instance) and ref.kind == "optimizer":
            if name == "step":
                return self._step(bound.receiver, args, kwargs, node, "")
            if name == "zero_grad":
                return self._zero_grad(bound.receiver, args, kwargs, node, "")
        if isinstance(ref, Instance) and ref.kind == "module" and name.startswith("forward"):
            self.model_called(node, [*args, *kwargs.values()])
        return None

    # --- scores ---------------------------------------------------------------------------------------------------

    def accumulate(self, node: ast.AST, target: ast.expr, old: Value, new: Value) -> None:
        """Something is added to a running sum; a loss of the target added is a score."""
        if new.tags & v.GOLD:
            self.score_event(node, new, target)

    def store_score(self, target: ast.Subscript, value: Value) -> None:
        """A loss stored into an array of losses is a score too."""
        if value.tags & v.GOLD and self.loops:
            self.score_event(target, value, target.value)

    def score_event(self, node: ast.AST, value: Value, target: ast.expr) -> None:
        """Record a score, with the name of what it is added to."""
        self.event("score", node, value, detail=_name_of(target))

    def compare_losses(self, node: ast.If, test: Value) -> None:
        """`if new < old: score = new` takes the better of two losses of the target."""
        if test.tags & v.GOLD and test.tags & v.COND_T and not test.tags & v.SCORE:
            for child in node.body:
                if isinstance(child, ast.Assign) and self.eval(child.value).tags & v.GOLD:
                    self.event("select", node, test)
                    return

    @staticmethod
    def is_no_grad(node: ast.expr, value: Value) -> bool:
        """Whether a `with` context switches gradients off."""
        text = _dotted(node)
        return "no_grad" in text or "inference_mode" in text

    def function_targets(self, node: ast.AST) -> frozenset[str]:
        """Defined with the statements."""
        raise NotImplementedError

    def block(self, body: list[ast.stmt]) -> str | None:
        """Defined with the statements."""
        raise NotImplementedError

    _handlers: dict[str, Any] = {
        "cross_entropy": _cross_entropy, "nll_loss": _cross_entropy, "CrossEntropyLoss": _cross_entropy,
        "gather": _gather, "take_along_dim": _gather, "take_along_axis": _gather, "index_select": _gather, "take": _gather,
        "backward": _backward, "grad": _grad, "step": _step, "zero_grad": _zero_grad,
        "parameters": _parameters_of, "named_parameters": _parameters_of, "Parameter": _parameter,
        "zeros": _tensor_maker, "randn": _tensor_maker, "ones": _tensor_maker, "empty": _tensor_maker, "rand": _tensor_maker,
        "full": _tensor_maker, "zeros_like": _tensor_maker, "ones_like": _tensor_maker, "empty_like": _tensor_maker,
        "requires_grad_": _requires_grad, "compile": _identity, "DDP": _identity, "DistributedDataParallel": _identity,
        "to": _identity, "cuda": _identity, "bfloat16": _identity, "float": _float, "eval": _identity, "train": _identity,
        "njit": _identity, "jit": _identity, "disable": _identity, "script": _identity, "half": _identity, "cpu": _identity,
        "deepcopy": _identity, "lru_cache": _identity, "cache": _identity, "vmap": _identity, "identity": _identity,
        "ModuleList": _container, "ModuleDict": _container, "Sequential": _container, "defaultdict": _container,
        "Counter": _container, "OrderedDict": _container, "dict": _container, "list": _container, "deque": _container,
        "append": _append, "extend": _append, "add": _append, "appendleft": _append, "get": _get, "getenv": _get,
        "int": _convert, "bool": _convert, "str": _convert, "strip": _string_method, "lower": _string_method,
        "split": _string_method, "upper": _string_method, "startswith": _string_method, "replace": _string_method,
        "endswith": _string_method, "format": _string_method, "where": _where, "minimum": _minimum, "fmin": _minimum,
        "min": _minimum, "max": _maximum, "clamp": _clamp, "clip": _clamp, "clamp_": _clamp, "clamp_max": _clamp,
        "at": _at, "bincount": _bincount, "register_forward_hook": _hook, "register_forward_pre_hook": _hook,
        "partial": _partial, "getattr": _getattr, "zip": _zip, "enumerate": _zip, "items": _items, "range": _range,
        "trange": _range, "arange": _range, "Embedding": _container, "embedding": _embedding, "embedding_bag": _embedding,
    }  # fmt: skip


def _constructs(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = _name_of(node.func)
    return name[:1].isupper() and name not in ("DDP", "DistributedDataParallel")


def _first(node: ast.Call) -> ast.expr:
    if isinstance(node.func, ast.Attribute):
        return node.func.value
    return node.args[0] if node.args else node.func


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return _dotted(node.func)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


__all__ = ["ClassDef", "Library"]
