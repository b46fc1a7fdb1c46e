"""What imports what, and that no module holds state; read from the source, nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "bids_strip").rglob("*.py"))
DATASET = [path.stem for path in sorted((ROOT / "bids_strip" / "dataset").glob("*.py"))]
TRAINING = sorted((ROOT / "training").rglob("*.py"))
ORDER = {"pipeline", "level", "attempt", "describe", "__init__"}
UPPER = ("bids_strip.__init__", "bids_strip.__main__", "bids_strip.cli", "bids_strip.execution",
         "bids_strip.group", "bids_strip.invocation", "bids_strip.manifest",
         "bids_strip.participant", "bids_strip.single")  # fmt: skip
"""What may import the two levels; every other module is lower, whatever is added."""
MUTATORS = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem",
            "remove", "discard", "clear", "sort", "reverse"}  # fmt: skip


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path: Path) -> Iterator[str]:
    """Every module and member imported, wherever the statement stands."""
    package = name_of(path).split(".")[:-1]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def importers(package: str) -> set[str]:
    return {
        name_of(p)
        for p in SOURCES
        if any(i == package or i.startswith(package + ".") for i in imports(p))
    }


def is_upper(name: str) -> bool:
    return any(name == upper or name.startswith(upper + ".") for upper in UPPER)


def by_name(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=name_of)


def test_the_reader_of_imports_sees_them(tmp_path: Path) -> None:
    found = set(imports(ROOT / "bids_strip" / "execution" / "local.py"))
    assert {"bids_strip.participant.attempt", "concurrent.futures", "multiprocessing"} <= found
    assert "bids_strip.execution.local" in set(imports(ROOT / "bids_strip" / "cli.py"))


@by_name([p for p in SOURCES if p.parent.name == "participant" and p.stem not in ORDER])
def test_stages_do_not_import_stages(path: Path) -> None:
    stages = {i for i in imports(path) if i.startswith("bids_strip.participant.")}
    assert not stages


@by_name(sorted((ROOT / "bids_strip" / "participant" / "qc").glob("*.py")))
def test_quality_control_imports_itself_alone(path: Path) -> None:
    stages = {i for i in imports(path) if i.startswith("bids_strip.participant.")}
    assert not {i for i in stages if not i.startswith("bids_strip.participant.qc")}


@by_name([p for p in SOURCES if p.parent.name == "group" and p.stem not in ORDER])
def test_stages_of_the_group_do_not_import_stages(path: Path) -> None:
    assert not {i for i in imports(path) if i.startswith(("bids_strip.group.",
                                                          "bids_strip.participant."))}  # fmt: skip


@by_name(SOURCES)
def test_the_product_imports_neither_training_nor_benchmarks_nor_tests(path: Path) -> None:
    found = {i.split(".")[0] for i in imports(path)}
    assert not found & {"training", "benchmarks", "tests", "torch", "onnx"}


@by_name(TRAINING)
def test_training_does_not_see_the_example(path: Path) -> None:
    """The drawn heads are a test that the network has not seen."""
    assert not {i for i in imports(path) if i.startswith("bids_strip.example")}


@by_name(TRAINING)
def test_training_imports_values_and_geometry_alone(path: Path) -> None:
    """But for scoring, which runs a network as the App does."""
    allowed = ["bids_strip.domain", "bids_strip.geometry"]
    if path.stem in {"evaluate", "heads", "predictor"}:
        allowed += ["bids_strip.card", "bids_strip.participant.predict", "bids_strip.single"]
    if path.stem == "reference":  # made by the fit that will be used on it
        allowed += ["bids_strip.registration.reference", "bids_strip.registration.pose"]
    if path.stem == "rescans":  # likewise
        allowed += ["bids_strip.registration.reference", "bids_strip.identity"]
    ours = {i for i in imports(path) if i.startswith("bids_strip.")}
    assert not {i for i in ours if not i.startswith(tuple(allowed))}


def test_the_example_is_for_itself() -> None:
    assert {m for m in importers("bids_strip.example") if ".example." not in m} == set()


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("onnxruntime", {"bids_strip.participant.predict"}),
        ("bids", {"bids_strip.dataset.names"}),
        ("distributed", {"bids_strip.execution.cluster"}),
    ],
)
def test_a_package_has_one_door(package: str, allowed: set[str]) -> None:
    assert importers(package) == allowed


@pytest.mark.parametrize(
    "module",
    ["cli", "settings", "errors", "__init__", "__main__", "naming", "fingerprint",
     "record", "recipe", "space", "output/folders", "output/derivative_description",
     *(f"dataset/{one}" for one in DATASET)],
)  # fmt: skip
def test_the_way_to_an_answer_is_light(module: str) -> None:
    """At module level no heavy package, so that --help and refusals answer at once."""
    tree = tree_of(ROOT / "bids_strip" / f"{module}.py")
    top = [n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    names = {a.name.split(".")[0] for n in top if isinstance(n, ast.Import) for a in n.names}
    names |= {str(n.module).split(".")[0] for n in top if isinstance(n, ast.ImportFrom)}
    assert not names & {"numpy", "scipy", "nibabel", "bids", "onnxruntime", "tqdm"}


@by_name([p for p in SOURCES if not is_upper(name_of(p))])
def test_lower_layers_do_not_look_up(path: Path) -> None:
    assert not [i for i in imports(path) if is_upper(i)]


def assigned(tree: ast.Module) -> set[str]:
    """Names that a module binds to values at its top."""
    targets = [t for n in tree.body if isinstance(n, ast.Assign) for t in n.targets]
    targets += [n.target for n in tree.body if isinstance(n, (ast.AnnAssign, ast.AugAssign))]
    return {t.id for t in targets if isinstance(t, ast.Name)}


def changes(tree: ast.Module) -> Iterator[str]:
    """Places that change what a module holds."""
    held = assigned(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"global {', '.join(node.names)}"
        elif isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(
            node.ctx, (ast.Store, ast.Del)
        ):
            if isinstance(node.value, ast.Name) and node.value.id in held:
                yield f"line {node.lineno}: {node.value.id} is changed"
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in MUTATORS
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in held
        ):
            yield f"line {node.lineno}: {node.func.value.id}.{node.func.attr}()"
        elif isinstance(node, (ast.FunctionDef, ast.Lambda)):
            defaults = [*node.args.defaults, *(d for d in node.args.kw_defaults if d)]
            if any(isinstance(d, (ast.List, ast.Dict, ast.Set)) for d in defaults):
                yield f"line {node.lineno}: a mutable default"


@by_name(SOURCES)
def test_no_module_level_state(path: Path) -> None:
    assert list(changes(tree_of(path))) == []


def test_the_reader_of_changes_sees_them() -> None:
    bad = "A = []\nB = {}\ndef f(x=[]):\n global A\n A.append(1)\n B['x'] = 1\n"
    assert len(list(changes(ast.parse(bad)))) == 4


def test_no_other_caches() -> None:
    """A process keeps its network open, and the templates with what is worked out of them alone."""
    found = {
        f"{name_of(path)}.{node.name}"
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if {"cache", "lru_cache"} & {n.id for n in ast.walk(decorator) if isinstance(n, ast.Name)}
    }
    assert found == {
        "bids_strip.execution.worker._opened",
        "bids_strip.templates.read_template",
        "bids_strip.participant.register._template_level",
        "bids_strip.registration.settle._points",
    }


@by_name(SOURCES)
def test_nothing_happens_at_import(path: Path) -> None:
    """At the top stand imports, definitions and constants."""
    for node in tree_of(path).body:
        if isinstance(node, ast.If):
            names = {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}
            assert names & {"TYPE_CHECKING", "__name__"}
        elif isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant), ast.unparse(node)
        else:
            assert isinstance(
                node,
                (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign,
                 ast.AnnAssign),
            ), ast.unparse(node)  # fmt: skip


def test_exceptions_are_caught_in_one_place() -> None:
    """Bare and broad handlers: the seam of a run, onnxruntime's errors, the log of a call
    (which raises again), the last line of the command."""
    found = {
        name_of(path)
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name)
                                   and node.type.id in {"Exception", "BaseException"}))
    }  # fmt: skip
    allowed = {
        "bids_strip.participant.attempt",
        "bids_strip.participant.predict",
        "bids_strip.cli",
        "bids_strip.invocation",
    }
    assert found <= allowed


FORBIDDEN_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve",
                     "code", "codeop", "runpy", "pty", "yaml", "xml"}  # fmt: skip
"""What runs or unpacks foreign code, or formats that nobody sends us."""
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv",
                   "os.execvp", "os.spawnl", "os.startfile", "subprocess.getoutput",
                   "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"}  # fmt: skip


def dangers(tree: ast.Module) -> Iterator[str]:
    """Places that unpack pickles, run text as code, or hand text to a shell."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if str(node.module).split(".")[0] in FORBIDDEN_MODULES:
                yield str(node.module)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in FORBIDDEN_CALLS:
                yield f"line {node.lineno}: {called}()"
            for keyword in node.keywords:
                off = isinstance(keyword.value, ast.Constant) and not keyword.value.value
                if keyword.arg in {"shell", "allow_pickle"} and not off:
                    yield f"line {node.lineno}: {called}({keyword.arg})"


@by_name([*SOURCES, *sorted((ROOT / "container").rglob("*.py"))])
def test_no_pickle_no_eval_no_shell(path: Path) -> None:
    assert list(dangers(tree_of(path))) == []


@pytest.mark.parametrize("bad", [
    "import pickle", "from pickle import loads", "import xml.etree", "def f():\n  import marshal",
    "eval('1')", "x = exec(y)", "import os\nos.system('ls')", "np.load(p, allow_pickle=True)",
    "np.load(p, allow_pickle=flag)", "subprocess.run(a, shell=True)", "subprocess.run(a, shell=x)",
])  # fmt: skip
def test_the_reader_of_dangers_sees_them(bad: str) -> None:
    assert list(dangers(ast.parse(bad)))


@pytest.mark.parametrize("good", [
    "import re\nre.compile('a')", "np.load(p)", "np.load(p, allow_pickle=False)",
    "subprocess.run(['ls'], shell=False)", "card.eval()",
])  # fmt: skip
def test_the_reader_of_dangers_passes_what_is_none(good: str) -> None:
    assert not list(dangers(ast.parse(good)))
