"""`featurize` for each dataset that standard input names, in one process and one Ray: a summary a line.

    python tests/jobs/run_after_run.py STORE

The storage is what the AWS environment says when this starts.
"""

import json
import sys
from dataclasses import asdict

from jobs.cluster import connected
from jobs.featurize import featurize
from jobs.planning import Request
from texture_store.spec import make_pixel_spec


def main(store_url: str) -> None:
    with connected("local"):
        for line in sys.stdin:
            request = Request(
                store_url=store_url,
                dataset=line.strip(),
                pixels=make_pixel_spec(size="64x64"),
                weights="random:0",
                precision="float32",
            )
            print(json.dumps(asdict(featurize(request))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
