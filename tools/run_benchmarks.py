"""Run the benchmarks that compare the package with alternatives, and collect their tables.

Usage: python tools/run_benchmarks.py [NAME...] [--data FOLDER] [--out FILE.json]
       python tools/run_benchmarks.py --table FILE.json
       python tools/run_benchmarks.py --compare OLD.json NEW.json

Without names, it runs those that take minutes and need no images; with --data, also those that
train on real images. Each runs in its own process and prints tables, which are stored in FILE.json
with the command and the machine. All are run again, up to --rounds times, while there is time:
after --minutes everything has ended. --table prints such a file as Markdown.

--compare lists the figures that became worse from one file to another by more than their spread,
which is the largest difference between rounds in either file; it exits 1 if there are any. Figures
that were taken only once in both files have no known spread and are left out.

The other scripts in benchmarks/ each answer one design question; their docstrings give the usage.
"""

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks"
MINUTES, ROUNDS = 28.0, 3

# How a column's heading shows whether more is better; in others less is, as for seconds and MB.
_MORE_IS_BETTER = re.compile(r"times|ratio|Mpx|a minute|per second|Dice|faster")
_NUMBER = re.compile(r"[+-]?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True)
class Benchmark:
    """Describe a benchmark script: its arguments, and whether it needs a window or real images."""

    script: str
    about: str
    asked: str = ""
    window: bool = False
    data: bool = False

    def command(self, data: Path | None) -> list[str]:
        """Return the command line to run it in the repository."""
        images = [str(data)] if self.data and data else []
        return [f"benchmarks/{self.script}.py", *images, *shlex.split(self.asked)]


BENCHMARKS = {
    "startup": Benchmark(
        "bench_startup", "Imports, and opening each dock", "--rounds 3", window=True
    ),
    "background": Benchmark("bench_background", "Background fit and subtraction", "--rounds 5"),
    "threshold": Benchmark("bench_threshold", "Otsu, preview frames, objects", "--rounds 3"),
    "features": Benchmark("bench_features", "Filter bank, fits on it", "--sides 1024 --rounds 3"),
    "live": Benchmark("bench_live", "Stroke to repainted field", "--strokes 15"),
    "live-window": Benchmark(
        "bench_live", "The same in a window", "--strokes 15 --window", window=True
    ),
    "inference": Benchmark("bench_inference", "UNet prediction", "--rounds 3"),
    "training": Benchmark("bench_training", "UNet training steps", "--rounds 1 --steps 6"),
    "clicks-window": Benchmark(
        "bench_clicks_window", "Mouse to outline, in a window", "--clicks 6", window=True
    ),
    "window": Benchmark("bench_window", "The window while it trains", "--seconds 20", window=True),
    "objects": Benchmark(
        "bench_large_objects", "Objects of a large image", "--side 4096 --minutes 0.5"
    ),
    "libraries": Benchmark(
        "bench_libraries", "What is written by hand beside libraries", "--rounds 3"
    ),
    "like": Benchmark(
        "bench_find_similar",
        "Objects like a few kept ones, and a UNet",
        "--quick --sets nuclei phase stained cytology",
        data=True,
    ),
    "carry": Benchmark("bench_carry", "Objects carried through planes", "--objects 6", data=True),
    "same-dice": Benchmark("bench_same_dice", "Dice for the same time", "--seconds 400", data=True),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--data", type=Path, help="folder of real images")
    parser.add_argument("--out", type=Path, help="JSON to write, or to add to")
    parser.add_argument("--table", type=Path, help="JSON to write as markdown, running nothing")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("OLD", "NEW"))
    parser.add_argument("--minutes", type=float, default=MINUTES, help="when all has ended")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each, at most")
    asked = parser.parse_args()
    if asked.table:
        print(markdown(json.loads(asked.table.read_text("utf-8"))))
        return 0
    if asked.compare:
        worse = compare(*(json.loads(path.read_text("utf-8")) for path in asked.compare))
        print("\n".join(worse) or "Nothing became worse by more than its spread.")
        return int(bool(worse))
    unknown = sorted(set(asked.names) - set(BENCHMARKS))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
        return 2
    chosen = asked.names or [n for n, one in BENCHMARKS.items() if asked.data or not one.data]
    missing = [name for name in chosen if BENCHMARKS[name].data and not asked.data]
    if missing:
        print(f"{', '.join(missing)} learns from real images: say where they are with --data")
        return 2
    known = json.loads(asked.out.read_text("utf-8")) if asked.out and asked.out.exists() else {}
    for name in chosen:
        known.pop(name, None)
    until = time.monotonic() + 60 * asked.minutes
    for turn in range(asked.rounds):
        for name in chosen:
            left = until - time.monotonic()
            if turn and (known[name]["failed"] or known[name]["seconds"] > left):
                continue
            print(f"\n== {name}: {BENCHMARKS[name].about}", flush=True)
            result = run(BENCHMARKS[name], asked.data, left)
            rounds = [*known.get(name, {"rounds": []})["rounds"], result["tables"]]
            known[name] = {**result, "rounds": rounds}
            if asked.out:
                asked.out.write_text(json.dumps(known, indent=1), "utf-8")
    failed = [name for name in chosen if known[name]["failed"]]
    print(f"\n{markdown(known)}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def run(one: Benchmark, data: Path | None, seconds: float) -> dict[str, Any]:
    """Run a benchmark for at most some seconds, echo its output, and return its tables."""
    command = one.command(data)
    display = ["xvfb-run", "-a"] if one.window and _needs_display() else []
    began, lines = time.monotonic(), []
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    # Compile the modules, as in an installed package.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(
        ["timeout", str(max(seconds, 1)), *display, sys.executable, *command]
        if shutil.which("timeout")
        else [*display, sys.executable, *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line.rstrip())
    shown = [str(Path("DATA")) if data and part == str(data) else part for part in command]
    return {
        "about": one.about,
        "command": shlex.join(["python", *shown]),
        "failed": process.wait() != 0,
        "seconds": round(time.monotonic() - began),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
        "tables": tables(lines),
    }


def tables(lines: list[str]) -> list[dict[str, Any]]:
    """Parse the Markdown tables in lines: headers, and rows of cells."""
    found: list[list[list[str]]] = [[]]
    for line in lines:
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif found[-1]:
            found.append([])
    whole = [table for table in found if len(table) > 1]
    return [{"head": table[0], "rows": table[2:]} for table in whole]


def compare(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return a line for each figure that became worse by more than its spread, the worst first."""
    found = []
    for name in sorted(old.keys() & new.keys()):
        before, after = figures(old[name]), figures(new[name])
        for key in before.keys() & after.keys():
            one, two = statistics.median(before[key]), statistics.median(after[key])
            spreads = [max(n) - min(n) for n in (before[key], after[key]) if len(n) > 1]
            sign = -1 if _MORE_IS_BETTER.search(key[1]) else 1
            if not spreads or sign * (two - one) <= max(spreads) or one == 0:
                continue
            text = f"{name}: {key[0]}, {key[1]}: {one:g} -> {two:g} (spread {max(spreads):g})"
            found.append((sign * (two - one) / abs(one), text))
    return [text for _, text in sorted(found, reverse=True)]


def figures(result: dict[str, Any]) -> dict[tuple[str, str], list[float]]:
    """Return the numbers of every round by row and column; without cells that are no number."""
    found: dict[tuple[str, str], list[float]] = {}
    for tables_of_round in result.get("rounds", [result["tables"]]):
        for number, table in enumerate(tables_of_round):
            for row in table["rows"]:
                for column, cell in zip(table["head"][1:], row[1:], strict=False):
                    if match := _NUMBER.match(cell.strip("*")):
                        key = f"{row[0]} ({number + 1})" if number else row[0], column
                        found.setdefault(key, []).append(float(match[0].replace(",", "")))
    return found


def markdown(known: dict[str, Any]) -> str:
    """Format all tables as one page."""
    parts = []
    for name, one in known.items():
        parts += [f"## {one['about']}", f"`{one['command']}` ({one['machine']}, {one['date']})"]
        if one["failed"]:
            parts.append(f"{name} did not finish.")
        for table in one["tables"]:
            rows = [table["head"], ["---", *["--:"] * (len(table["head"]) - 1)], *table["rows"]]
            parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(parts)


def _needs_display() -> bool:
    """Return whether a virtual display is needed and available."""
    has = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.platform == "linux" and not has and shutil.which("xvfb-run") is not None


if __name__ == "__main__":
    sys.exit(main())
