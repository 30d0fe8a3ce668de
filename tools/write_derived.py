"""Write into the pages the text that the program itself knows, or check that it is current.

Usage: python tools/write_derived.py [--check] [PAGE ...]

Without pages, all of them are renewed. With `--check` nothing is written, and the exit status is
1 where a page is not current.
"""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def pages() -> list[Path]:
    """List the pages of the documentation."""
    made = {"_build", "gallery"}
    return sorted(page for page in DOCS.rglob("*.md") if not made & set(page.parts))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("pages", nargs="*", type=Path, help="these pages alone")
    options = parser.parse_args(arguments)
    # The docks are built for their controls, which needs no screen.
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    # The pages describe the package beside them, whichever is installed.
    sys.path.insert(0, str(ROOT / "src"))
    from derived_text import renewed

    stale = []
    for page in options.pages or pages():
        text = page.read_text(encoding="utf-8")
        if (new := renewed(text)) != text:
            stale.append(page)
            if not options.check:
                page.write_text(new, encoding="utf-8", newline="\n")
    for page in stale:
        print(f"{page}: {'not current' if options.check else 'renewed'}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
