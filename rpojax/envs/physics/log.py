"""Keep MuJoCo's messages out of log files and of a program's output."""

import contextlib
import io
import logging
from collections.abc import Iterator

_LOGGER = logging.getLogger("rpojax.mujoco")


@contextlib.contextmanager
def no_log_file() -> Iterator[None]:
    """While it lasts, MuJoCo's warnings go to the logger `rpojax.mujoco`, at the level INFO.

    MuJoCo appends them to MUJOCO_LOG.TXT in the working directory otherwise, those about models
    that it ships too. A handler that the user has set stays. Also a decorator.
    """
    import mujoco

    if mujoco.get_mju_user_warning() is not None:
        yield
        return
    mujoco.set_mju_user_warning(_LOGGER.info)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(None)


@contextlib.contextmanager
def nothing_printed() -> Iterator[None]:
    """While it lasts, prints are dropped: MJX prints, when it is imported, that there is no Warp.

    The message would precede the JSON that a command prints.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        yield
