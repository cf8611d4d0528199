"""Prints the covered part of each crate as a table, from the summary that llvm-cov exports."""

import collections
import json
import pathlib
import sys

root = pathlib.Path(__file__).resolve().parent.parent
counts = collections.defaultdict(lambda: [0, 0, 0, 0])
for file in json.load(sys.stdin)["data"][0]["files"]:
    path = pathlib.Path(file["filename"])
    if not path.is_relative_to(root / "crates"):
        continue
    crate, *rest = path.relative_to(root / "crates").parts
    # The code of tests is not what the tests cover.
    if rest[0] != "src" or "tests" in rest or rest[-1] == "tests.rs" or "fuzzing" in path.as_posix():
        continue
    for at, kind in enumerate(["lines", "regions"]):
        counts[crate][2 * at] += file["summary"][kind]["covered"]
        counts[crate][2 * at + 1] += file["summary"][kind]["count"]

counts["all"] = [sum(column) for column in zip(*counts.values())]
print("| crate | lines | regions |\n|---|---|---|")
for crate, (lines, all_lines, regions, all_regions) in sorted(counts.items()):
    print(f"| `{crate}` | {100 * lines / all_lines:.1f} % of {all_lines:,} | {100 * regions / all_regions:.1f} % |")
