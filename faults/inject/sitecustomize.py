"""Faults inside a process: Python imports this module by itself where its folder is on PYTHONPATH.

OUTSHINE_FAULT: `clock` (time.time leaps by up to a day, to and fro), `memory` (a third of the forward passes run out
of memory until the batches are small), `nan` (the loss logconf gives NaN), `no-locks` (flock does nothing and says
that it did), `eio` (one in a hundred writes, renames and look-ups below OUTSHINE_FAULT_PLACE fails with EIO).
"""

import errno
import fcntl
import importlib.abc
import importlib.machinery
import os
import random
import sys
import time

KIND = os.environ.get("OUTSHINE_FAULT", "")
RNG = random.Random(os.getpid())


def _break_clock() -> None:
    real = time.time
    time.time = lambda: real() + RNG.uniform(-86400, 86400)


def _break_locks() -> None:
    fcntl.flock = lambda handle, how: None


def _break_disk() -> None:
    place = os.environ["OUTSHINE_FAULT_PLACE"]

    def failing(real):
        def call(path, *given, **named):
            if str(path).startswith(place) and RNG.random() < 0.01:
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
            return real(path, *given, **named)

        return call

    for name in ("open", "rename", "replace", "stat", "scandir", "mkdir", "unlink"):
        setattr(os, name, failing(getattr(os, name)))


def _break_memory(module) -> None:
    forward = module.Classifier.pooled

    def pooled(self, input_ids, mask):
        if input_ids.numel() > 256 and RNG.random() < 1 / 3:
            raise RuntimeError("not enough memory: you tried to allocate 1 TB")
        return forward(self, input_ids, mask)

    module.Classifier.pooled = pooled


def _break_loss(module) -> None:
    module._RunningLogConf.__call__ = lambda self, z, y, step: z * float("nan")


PATCHES = {
    "memory": ("outshine.learn.classifier", _break_memory),
    "nan": ("outshine.learn.losses.logconf", _break_loss),
}


class _Patching(importlib.abc.MetaPathFinder):
    """Changes a module when it is first imported."""

    def find_spec(self, name, path, target=None):
        wanted, patch = PATCHES[KIND]
        if name != wanted:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            patch(module)

        spec.loader.exec_module = exec_module
        return spec


if KIND == "clock":
    _break_clock()
elif KIND == "no-locks":
    _break_locks()
elif KIND == "eio":
    _break_disk()
elif KIND in PATCHES:
    sys.meta_path.insert(0, _Patching())
