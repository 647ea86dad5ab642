import os
import signal
import subprocess
import sys
import time

POOL = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from drin_pyg.experiments.start_worker import start_worker

with ProcessPoolExecutor(1, mp_context=get_context('fork'), initializer=start_worker) as pool:
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


def test_a_worker_ends_with_whoever_started_it():
    parent = subprocess.Popen([sys.executable, '-W', 'ignore', '-c', POOL], stdout=subprocess.PIPE, text=True)
    with parent.stdout:
        worker = int(parent.stdout.readline())
    os.kill(worker, 0)  # it is there
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(600):
        try:
            with open(f'/proc/{worker}/stat') as file:
                ended = file.read().rpartition(')')[2].split()[0] == 'Z'
        except (FileNotFoundError, ProcessLookupError):
            ended = True
        if ended:
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    raise AssertionError('the worker outlived the process that started it')
