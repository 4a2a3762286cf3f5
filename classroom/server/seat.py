"""What a student's server does besides JupyterLab's own: it has few kernels, and tells in a sentence why it cannot save."""

import shutil
from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado import web

MOST_KERNELS = 3
NEEDED_DISK = 50 * 2**20        # bytes, to save a notebook beside its old state


class FewKernels(AsyncMappingKernelManager):
    """Starts a few kernels, not any number: each takes memory that other students need."""

    async def start_kernel(self, *arguments: Any, **options: Any) -> str:       # type: ignore[override]
        """Raises HTTPError 503 with a sentence for the student where there are enough."""
        if len(self) >= MOST_KERNELS:
            raise web.HTTPError(503, f"{MOST_KERNELS} notebooks run already, which is the most: end one of them first, with "
                                     "Kernel, Shut Down Kernel.")
        return await super().start_kernel(*arguments, **options)


def check_disk(path: str, contents_manager: Any, **_: Any) -> None:
    """Raises HTTPError 507 with a sentence for the student where nothing more can be saved."""
    if shutil.disk_usage(contents_manager.root_dir).free < NEEDED_DISK:
        raise web.HTTPError(507, "The disk of this machine is full, and your notebook is not saved yet: leave this page open, "
                                 "tell your lecturer, and save again when there is space.")


def _jupyter_server_extension_points():
    return [{"module": "seat"}]


def _load_jupyter_server_extension(app):
    app.contents_manager.register_pre_save_hook(check_disk)
