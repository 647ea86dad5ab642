import os
import threading
from multiprocessing import connection, parent_process


def start_worker() -> None:
    r"""What a process that trains does first: it keeps to one core, and ends when the process that started it does.

    A pool's processes wait for work for ever if the one that gives it is killed.
    """
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(parent_process().sentinel, ), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
