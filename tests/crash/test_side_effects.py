"""Nothing writes to Redis or to the store behind the failpoints' back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.test_failpoints import EFFECTS, ONLY_LOOK

ROOT = Path(__file__).parents[2]
#: What runs on one's own machine and is no part of moving messages.
_ELSEWHERE = {"queue_core/embedded.py", "queue_core/failpoints.py"}
#: Commands by which redis-py writes, and the ways in which SQLAlchemy begins to.
_WRITES = {
    "xadd", "xack", "xclaim", "xautoclaim", "xdel", "xtrim", "xreadgroup", "xgroup_create", "xgroup_destroy",
    "xgroup_delconsumer", "xgroup_setid", "zadd", "zrem", "hset", "hdel", "hincrby", "set", "delete",
    "unlink", "expire", "rename", "flushdb", "flushall", "eval", "evalsha", "fcall", "lpush", "rpush",
    "sadd", "incr",
}  # fmt: skip
_READ_ONLY = "redis"


def sources() -> list[Path]:
    return [
        path
        for package in ("queue_core", "tutormax_pipeline")
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.relative_to(ROOT).as_posix() not in _ELSEWHERE
    ]


def is_redis_write(node: ast.AST) -> bool:
    """``<something>.redis.<write>(...)`` or a pipeline's ``execute``."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    name, holder = node.func.attr, node.func.value
    if name == "execute" and isinstance(holder, ast.Name) and holder.id == "pipeline":
        return True
    return name in _WRITES and isinstance(holder, ast.Attribute) and holder.attr == _READ_ONLY


def has_failpoint(function: ast.AST) -> bool:
    """Whether a function passes failpoints, in any way."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("around", "passing")
        for node in ast.walk(function)
    )


def functions(path: Path) -> Iterator[ast.AST]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def only_reads(function: ast.AST) -> bool:
    """A pipeline onto which nothing but reads are queued."""
    queued = {
        node.func.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "pipeline"
    } - {"execute"}
    return not queued & _WRITES and not any(is_redis_write(node) for node in _direct(function))


def _direct(function: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and not (
            isinstance(node.func, ast.Attribute) and node.func.attr == "execute"
        ):
            yield node


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_function_that_writes_to_redis_passes_a_failpoint(path: Path) -> None:
    for function in functions(path):
        if any(is_redis_write(node) for node in ast.walk(function)):
            assert has_failpoint(function) or only_reads(function), f"{path.name}: {function.name}"


def test_what_opens_a_transaction_passes_a_failpoint() -> None:
    writing = [
        (path.name, function.name)
        for path in sources()
        for function in functions(path)
        if any(
            isinstance(node, ast.withitem) and _begins(node.context_expr) and not has_failpoint(function)
            for node in ast.walk(function)
        )
    ]
    # Migrations run before anything else does, and are all or nothing.
    assert writing == [("schema.py", "upgrade")]


def _begins(expression: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Attribute) and node.attr in ("begin", "_begin", "transaction")
        for node in ast.walk(expression)
    ) and not any(
        isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.startswith("BEGIN")
        for node in ast.walk(expression)
    )


def test_every_script_is_a_side_effect_that_is_tried_or_only_looks() -> None:
    scripts = {path.stem for path in (ROOT / "queue_core" / "scripts").glob("*.lua")}
    shared = {"attempts", "room", "unprocessed"}
    assert scripts - shared - ONLY_LOOK <= set(EFFECTS)
    for name in ONLY_LOOK:
        source = (ROOT / "queue_core" / "scripts" / f"{name}.lua").read_text()
        called = {part.split("'")[0].lower() for part in source.split("redis.call('")[1:]}
        assert not called & _WRITES, name
