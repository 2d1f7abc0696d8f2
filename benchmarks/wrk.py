"""Load by wrk: each of some connections asks again as soon as it has its answer. https://github.com/wg/wrk"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# wrk runs this: it makes each request once, and sends them in turn. Its own report says nothing of statuses
# but whether they are below 400.
SCRIPT = """
local paths = {%(paths)s}
local bodies = {%(bodies)s}
local prepared, sent = {}, 0

init = function(arguments)
  local headers = {}
  if #bodies > 0 then headers["Content-Type"] = "application/json" end
  for i, path in ipairs(paths) do
    prepared[i] = wrk.format("%(method)s", path, headers, bodies[i %% #bodies + 1])
  end
end

request = function()
  sent = sent %% #prepared + 1
  return prepared[sent]
end

done = function(summary, latency, requests)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('\\n{"requests": %%d, "seconds": %%f, "p50": %%f, "p99": %%f, ' ..
    '"refused": %%d, "broken": %%d}\\n', summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6, errors.status, broken))
end
"""


class WrkMissing(Exception):
    """There is no wrk on this machine."""


@dataclass(frozen=True)
class Outcome:
    """What wrk saw. Times are in seconds.

    ``refused`` are answers with a status of 400 or more, ``broken`` requests without a whole answer.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    refused: int
    broken: int


def write_script(path: Path, paths: Sequence[str], bodies: Sequence[str] = ()) -> Path:
    """Write the script that asks for these paths in turn: GET, or POST if there are bodies of JSON."""
    values = {
        "paths": ",".join(f'"{each}"' for each in paths),
        "bodies": ",".join(f"'{body}'" for body in bodies),
        "method": "POST" if bodies else "GET",
    }
    path.write_text(SCRIPT % values)
    return path


def run_wrk(url: str, script: Path, *, connections: int, seconds: float) -> Outcome:
    """Put load on a service for whole seconds. Raises ``WrkMissing``."""
    program = shutil.which("wrk")
    if program is None:
        raise WrkMissing("wrk is not installed: apt install wrk, or brew install wrk.")
    command = [
        program,
        "-t1",
        f"-c{connections}",
        f"-d{seconds:g}s",
        "--timeout",
        "30s",
        "-s",
        str(script),
        url,
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return Outcome(**json.loads(finished.stdout.splitlines()[-1]))
