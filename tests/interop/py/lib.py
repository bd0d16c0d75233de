"""What both scripts share: the configuration argument, the printed lines and the error shape."""

import json
import os
import sys
import threading
from typing import Any, NoReturn


def fail(message: str) -> NoReturn:
    """Says what is wrong with the call itself and ends with 2."""
    print(message, file=sys.stderr)
    sys.exit(2)


def configuration(required: list[str]) -> dict[str, Any]:
    """The one JSON argument of a script, with every key in ``required`` present."""
    if len(sys.argv) != 2:
        fail("expected one JSON object as the only argument")
    try:
        config = json.loads(sys.argv[1])
    except ValueError as error:
        fail(f"the argument is not JSON: {error}")
    missing = [key for key in required if key not in config]
    if missing:
        fail(f"missing configuration: {', '.join(missing)}")
    return config


def emit(value: dict[str, Any]) -> None:
    """One JSON object, one line, on standard output."""
    print(json.dumps(value), flush=True)


def describe(error: BaseException) -> dict[str, str]:
    """An error and its causes, outermost first."""
    parts: list[str] = []
    at: BaseException | None = error
    while at is not None and len(parts) < 5:
        text = str(at) or type(at).__name__
        if text not in parts:
            parts.append(text)
        at = at.__cause__ or at.__context__
    return {"type": type(error).__name__, "message": ": ".join(parts)}


def until_parent_leaves(seconds: float) -> None:
    """Ends the process with its parent's pipe, or after ``seconds``, whichever comes first."""
    timer = threading.Timer(seconds, lambda: os._exit(0))
    timer.daemon = True
    timer.start()
    while sys.stdin.buffer.read1(4096):
        pass
    os._exit(0)
