"""One side of a comparison as a process: a line of JSON asks, a line of JSON answers."""

import json
import os
import sys
import time
from collections.abc import Callable

from cases import Case


def serve(prepare: Callable, about: Callable[[], dict], make: Callable = Case) -> None:
    """`prepare(make(*fields), form)` gives a step, which gives (loss, gradient norm) once it is done, and facts."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    steps: dict = {}
    for line in sys.stdin:
        asked, given = json.loads(line)
        try:
            if asked == "about":
                answer = about()
            elif asked == "prepare":
                steps.clear() if given.get("fresh") else None
                step, facts = prepare(make(*given["case"]), given["form"])
                steps[given["form"]] = step
                answer = dict(zip(("loss", "gradient_norm"), step(), strict=True)) | facts
                step()
            else:
                start = time.perf_counter()
                steps[given["form"]]()
                answer = {"seconds": time.perf_counter() - start}
        except ImportError as error:
            answer = {"missing": str(error)}
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
