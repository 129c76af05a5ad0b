"""Effects on the whole process are made in worker.host and worker.manager, and nowhere else.

So an engine in somebody's own program changes nothing but what it returns.
"""

import ast
from pathlib import Path

import pytest

WORKER = Path(__file__).parents[2] / "worker"
ALLOWED = {WORKER / "host.py", WORKER / "manager.py"}
MODULES = sorted(WORKER.rglob("*.py"))

CALLS = {
    "atexit.register", "ctypes.CDLL", "faulthandler.enable", "gc.disable", "gc.enable",
    "gc.freeze", "gc.set_debug", "gc.set_threshold", "gc.unfreeze", "locale.setlocale",
    "logging.basicConfig", "logging.captureWarnings", "logging.disable", "logging.shutdown",
    "mallopt", "multiprocessing.set_start_method", "os._exit", "os.abort", "os.chdir",
    "os.environ.clear", "os.environ.pop", "os.environ.popitem", "os.environ.setdefault",
    "os.environ.update", "os.fork", "os.kill", "os.nice", "os.putenv", "os.setpriority",
    "os.umask", "os.unsetenv", "random.seed", "resource.setrlimit", "signal.alarm",
    "signal.setitimer", "signal.signal", "socket.setdefaulttimeout", "sys.setrecursionlimit",
    "csv.field_size_limit", "torch.compiler.reset",
    "torch.manual_seed", "torch.set_default_device", "torch.set_default_dtype",
    "torch.set_deterministic_debug_mode", "torch.set_float32_matmul_precision",
    "torch.set_flush_denormal", "torch.set_grad_enabled", "torch.set_num_interop_threads",
    "torch.set_num_threads", "torch.set_printoptions", "torch.use_deterministic_algorithms",
    "torch.cuda.set_device", "torch.cuda.set_per_process_memory_fraction",
    "warnings.filterwarnings", "warnings.resetwarnings", "warnings.simplefilter",
}  # fmt: skip
ENDINGS = {"reset", "setenv", "setLevel"}
"""Called on a module's attribute, as `torch._dynamo.reset`."""


def imports(tree):
    """The dotted name of everything that a module imports, by the name it has there."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.split(".")[0]
                names[alias.asname or name] = name
        elif isinstance(node, ast.ImportFrom):
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return names


def dotted(node, names):
    """`os.environ.update` for an expression that reaches it by attributes; None for others."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value, names)):
        return f"{owner}.{node.attr}"
    return None


def effects(source):
    """Every effect on the whole process in a module's text, as `name` or `name = `."""
    tree = ast.parse(source)
    names = imports(tree)
    names_of_effects = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            names_of_effects += called(dotted(node.func, names), names)
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
            names_of_effects += [f"{n} = " for n in (owner(t, names) for t in targets) if n]
    return names_of_effects


def called(name, names):
    root = (name or "").split(".")[0]
    if name in CALLS or (root in {"os", "torch"} and name.split(".")[-1] in ENDINGS):
        return [name]
    return []


def owner(target, names):
    """The imported thing that an assignment changes an item or an attribute of."""
    if not isinstance(target, ast.Attribute | ast.Subscript):
        return None
    while isinstance(target, ast.Attribute | ast.Subscript):
        target = target.value
    return names.get(target.id) if isinstance(target, ast.Name) else None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(WORKER)))
def test_a_module_has_no_effect_on_the_whole_process(path):
    if path not in ALLOWED:
        assert effects(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", ["host", "manager"])
def test_the_modules_that_may_have_effects_have_some(name):
    assert effects((WORKER / f"{name}.py").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("line", "effect"),
    [
        ("import os\nos.environ['A'] = '1'", "os = "),
        ("from os import environ\nenviron['A'] = '1'", "os.environ = "),
        ("from os import environ as e\ndel e['A']", "os.environ = "),
        ("import os\nos.environ |= {}", "os = "),
        ("import os\nos.environ.setdefault('A', '1')", "os.environ.setdefault"),
        ("from os import environ\nenviron.update(a)", "os.environ.update"),
        ("import os\nos.putenv('A', '1')", "os.putenv"),
        ("import os as system\nsystem._exit(1)", "os._exit"),
        ("from gc import freeze\nfreeze()", "gc.freeze"),
        ("import gc\ngc.unfreeze()", "gc.unfreeze"),
        ("mallopt(1, 2)", "mallopt"),
        ("import torch\ntorch.compiler.reset()", "torch.compiler.reset"),
        ("import torch._dynamo\ntorch._dynamo.reset()", "torch._dynamo.reset"),
        ("import torch\ntorch.set_num_threads(1)", "torch.set_num_threads"),
        ("import torch\ntorch.backends.cuda.matmul.allow_tf32 = True", "torch = "),
        ("from torch._inductor import config\nconfig.a = True", "torch._inductor.config = "),
        ("import signal\nsignal.signal(signal.SIGTERM, f)", "signal.signal"),
        ("import warnings\nwarnings.filterwarnings('ignore')", "warnings.filterwarnings"),
    ],
)
def test_an_effect_is_recognised(line, effect):
    assert effects(line) == [effect]


@pytest.mark.parametrize(
    "line",
    [
        "import os\nvalue = os.environ.get('A')",
        "import gc\ngc.collect()",
        "import torch\ntorch.cuda.empty_cache()",
        "settings.environ['A'] = 1",
        "import torch\nx = torch.zeros(3)\nx[0] = 1",
    ],
)
def test_reading_and_passing_effects_are_none(line):
    assert effects(line) == []
