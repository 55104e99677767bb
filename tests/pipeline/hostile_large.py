"""Texts that are no pipelines and take much memory, time or stack: most are as long or as deep as may be.

`LARGE` holds them by name, to be put after the beginning of a text.
"""

from __future__ import annotations

LENGTH = 250_000


def _texts() -> dict[str, str]:
    texts = {
        "text-of-a-megabyte": "x = '" + "a" * 1_000_000 + "'",
        "comment-of-a-megabyte": "#" * 1_000_000,
        "lines-of-a-megabyte": "\n" * 1_000_000,
        "ten-megabytes": "x = 1\n" * 1_700_000,
        "long-text": "x = '" + "a" * LENGTH + "'",
        "long-docstring": "'''" + "a\n" * (LENGTH // 2) + "'''",
        "unclosed-docstring": "x = '''" + "a\n" * (LENGTH // 2),
        "escapes": "x = '" + "\\x41" * (LENGTH // 4) + "'",
        "unclosed-quotes": "'" * (LENGTH + 1),
        "unclosed-double-quotes": "x = " + '"' * (LENGTH + 1),
        "backslashes": "x = '" + "\\" * LENGTH,
        "digits": "x = " + "9" * LENGTH,
        "digits-refused-by-python": "x = " + "9" * 5000,
        "fraction": "x = 0." + "1" * LENGTH,
        "exponent": "x = 1e" + "9" * LENGTH,
        "hexadecimal-digits": "x = 0x" + "f" * LENGTH,
        "underscores": "x = 1" + "_1" * (LENGTH // 2),
        "long-name": "x = " + "a" * LENGTH,
        "long-target": "a" * LENGTH + " = 1",
        "long-module": "from " + "a." * (LENGTH // 2) + "b import c",
        "many-numbers": "x = [" + "1," * (LENGTH // 2) + "]",
        "many-lines": "x = 1\n" * (LENGTH // 6),
        "many-names": "".join(f"a{n} = {n}\n" for n in range(12_000)),
        "many-dicts": "x = [" + "{}," * (LENGTH // 3) + "]",
        "many-calls": "x = [" + "PipelineConfig()," * (LENGTH // 17) + "]",
        "many-texts": "x = [" + "''," * (LENGTH // 3) + "]",
        "many-imports": "from tests.pipeline.texts import smooth\n" * 1_800 + "x = undefined",
        "many-targets": "a = " * (LENGTH // 4) + "1",
        "many-arguments": "x = PipelineConfig(" + "a=1," * (LENGTH // 4) + ")",
        "just-too-many-values": "x = [" + "1," * 4_800 + "]\ny = [" + "x," * 5 + "]",
        "almost-too-long-then-wrong": "x = [" + "1," * 4_800 + "1 1]",
        "almost-too-long-then-unclosed": "x = [" + "1," * 4_800,
        "almost-too-many-keywords": "x = PipelineConfig(" + "a=1," * 2_400 + ")",
        "almost-too-many-pairs": "x = {" + "1:1," * 2_400 + "}",
        "almost-too-many-dicts": "x = [" + "{1:{}}," * 1_200 + "x]",
        "almost-too-many-statements": "x = 1\n" * 2_400,
        "almost-too-many-names": "from a import " + "b," * 4_800 + "c",
        "almost-too-many-strings": "x = [" + "'a'," * 4_800 + "x]",
        "minus-signs": "x = " + "-" * LENGTH + "1",
        "not-not": "x = " + "not " * (LENGTH // 4) + "1",
        "tildes": "x = " + "~" * LENGTH + "1",
        "sum": "x = 1" + "+1" * (LENGTH // 2),
        "difference": "x = 1" + "-1" * (LENGTH // 2),
        "powers": "x = 9" + "**9" * (LENGTH // 3),
        "comparisons": "x = 1" + "<1" * (LENGTH // 2),
        "conditions": "x = " + "1 if 1 else " * (LENGTH // 12) + "1",
        "lambdas": "x = " + "lambda:" * (LENGTH // 7) + "1",
        "attributes": "x = a" + ".a" * (LENGTH // 2),
        "calls": "x = smooth" + "()" * (LENGTH // 2),
        "indices": "x = smooth" + "[0]" * (LENGTH // 3),
        "joined": "x = " + "'a'" * (LENGTH // 3),
        "blocks": "".join(" " * n + "if 1:\n" for n in range(600)),
        "indentation": "".join(" " * n + "x = 1\n" for n in range(600)),
        "decorators": "@a\n" * (LENGTH // 3) + "def f(): pass",
        "semicolons": "x = 1;" * (LENGTH // 6),
        "laughs": "\n".join(
            ["a0 = ['ha', 'ha']"] + [f"a{n} = [a{n - 1}, a{n - 1}, a{n - 1}, a{n - 1}]" for n in range(1, 60)]
        ),
        "laughs-of-tuples": "\n".join(["a0 = ()"] + [f"a{n} = (a{n - 1}, a{n - 1})" for n in range(1, 200)]),
        "laughs-of-dicts": "\n".join(["a0 = 1"] + [f"a{n} = {{1: a{n - 1}, 2: a{n - 1}}}" for n in range(1, 200)]),
        "laughs-of-steps": "x = FunctionStep((smooth, {'sigma': ["
        + "1," * 1000
        + "]}))\npipeline_steps = ["
        + "x," * 999
        + "]",
        "colliding-keys": "x = {" + ",".join(f"{n * (2**61 - 1)}: 1" for n in range(1, 6)) + ", 3.5: 1}",
        "deep-value": "x = FunctionStep((smooth, {'sigma': " + "[" * 18 + "]" * 18 + "}))",
    }
    brackets = {"round": "()", "square": "[]", "curly": "{}", "mixed": "[)"}
    for name, (opening, closing) in brackets.items():
        for depth in (25, 99, 201, 5_000, 100_000):
            texts[f"{name}-brackets-{depth}"] = "x = " + opening * depth + closing * depth
    openings = {"list": "[1, ", "dict": "{1: ", "call": "f(", "keyword": "f(a=", "tuple": "((1), ", "pair": "{(1): "}
    for name, opening in openings.items():
        for ending in ("", "1 1", "=", "a=1"):
            texts[f"nested-{name}-then-{ending or 'nothing'}"] = "x = " + opening * 24 + ending
    return texts


LARGE = _texts()
