"""Memory at 16,384 concepts: the peak of a process of its own, far below one array of vectors by concepts."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MiB = 2**20
VECTORS, CHANNELS, CONCEPTS, CODED = 66_000, 64, 16_384, 512
SCRIPT = f"""
import json, resource, torch
from torch.nn.functional import normalize
from ingest.numerics.clustering import bisecting_kmeans
from ingest.numerics.lasso import lasso, penalty_for

torch.set_num_threads(2)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
x = torch.randn({VECTORS}, {CHANNELS}, generator=torch.Generator().manual_seed(0))
bisecting_kmeans(x[:2000], 8)
lasso(x[:64], normalize(x[:256], dim=1), 4.0)
start = peak()
found = bisecting_kmeans(x, {CONCEPTS})
clustered = peak() - start
penalty = penalty_for(x[:64], found.centroids, 5.0)
codes = lasso(x[:{CODED}], found.centroids, penalty, 32 * 2**20)
decomposed = peak() - start
print(json.dumps([len(found.centroids), clustered, decomposed, float(codes.active.double().mean())]))
"""


@pytest.mark.slow
def test_dictionary_and_codes_of_sixteen_thousand_concepts():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    concepts, clustered, decomposed, active = json.loads(done.stdout)
    assert concepts == CONCEPTS
    assert 1 < active < 30
    copy = VECTORS * CHANNELS * 4
    assert clustered < 4 * copy + 64 * MiB
    # Chunks of 32 MiB; all vectors by all concepts would be 4.3 GB.
    assert decomposed < clustered + 64 * MiB
