"""``python -m tests.bench [--quick] [--json FILE] [TOPIC ...]``: print what leakguard costs, as ratios inside one run."""

import argparse
import json
import platform
import sys
import time

from tests.bench import busy, crowded, empty, hubs, imports, kinds, measure, page, peers, records, verdicts

TOPICS = {
    "empty": empty.sync,
    "async": empty.asynchronous,
    "kinds": kinds.kinds,
    "threads": crowded.threads,
    "tasks": crowded.tasks,
    "starts": busy.starts,
    "leaks": busy.leaks,
    "hub": hubs.hubs,
    "verdicts": verdicts.verdicts,
    "import": imports.imports,
    "page": page.page,
    "peers": peers.peers,
    "records": records.records,
}


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure what leakguard costs.")
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"of {', '.join(TOPICS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="a few rounds only: whether it works, not what it costs")
    parser.add_argument("--cpu", action="store_true", help="the processor's time: for figures beside other work")
    parser.add_argument("--json", metavar="FILE", help="write the results to FILE as well")
    arguments = parser.parse_args()
    unknown = [topic for topic in arguments.topics if topic not in TOPICS]
    if unknown:
        parser.error(f"TOPIC must be of {', '.join(TOPICS)} (got {unknown[0]!r})")
    if arguments.cpu:
        measure.clock[0] = time.process_time
    results = {"python": platform.python_version(), "topics": {}}
    print(f"Python {results['python']}, medians")
    for topic in arguments.topics or TOPICS:
        print(f"\n{topic}: {TOPICS[topic].__doc__}")
        rows = TOPICS[topic](arguments.quick)
        for name, value, unit in rows:
            print(f"  {name:<55} {shown(value, unit)}")
            sys.stdout.flush()
        results["topics"][topic] = [{"name": name, "value": value, "unit": unit} for name, value, unit in rows]
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=2)
            file.write("\n")


def shown(value, unit):
    """A value with its unit, three figures and no more."""
    if value is None:
        return unit
    figure = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{figure:>9} {'' if unit == 'ratio' else unit}".rstrip()


if __name__ == "__main__":
    main()
