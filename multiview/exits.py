"""Exit codes, decided in one place for every command and every recipe."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

from multiview.errors import MultiviewError, printable

DONE = 0
FAILED = 1
"""A check found a fault."""
MISTAKE = 2
"""The user made a mistake, which a message on stderr explains."""
EXIT_CODES = """exit codes:
  0: done
  1: a check failed
  2: a mistake, which the message explains
  128+n: stopped by signal n (130 after Ctrl-C)"""


def stopped_by(number: int) -> int:
    """The exit code of a program that a signal stopped; 0 when `number` is 0 (no signal)."""
    return 128 + number if number else DONE


def exit_code_of(action: Callable[[], int]) -> int:
    """Calls `action`, prints its MultiviewError as one message, and returns the exit code.

    When the reader of the output has gone (`| head`), the command ends quietly.
    """
    try:
        code = action()
        sys.stdout.flush()
        return code
    except MultiviewError as error:
        with suppress(BrokenPipeError):
            print_mistake(error)
        return MISTAKE
    except BrokenPipeError:
        from multiview.terminal import silence_closed_pipes

        if not silence_closed_pipes():
            raise
        return DONE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return stopped_by(signal.SIGINT)


def print_mistake(error: MultiviewError) -> None:
    """Prints the message, on the first process only when all processes have the same error."""
    if os.environ.get("RANK", "0") != "0" and not error.local:
        return
    print(f"error: {printable(error)}", file=sys.stderr)
    if "ACCELERATE_MIXED_PRECISION" in os.environ:  # `accelerate launch` sets this variable
        print("(The lines that accelerate prints below say only that the recipe stopped.)", file=sys.stderr)
