"""Settings of a student's server: at most so many kernels, each with one thread, idle ones end, and a full disk is told in a
sentence."""

import os

# Where kernels are more than processors, more threads only wait for each other (make benchmark). Kernels inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

c = get_config()        # type: ignore[name-defined] # noqa: F821 (Jupyter gives it)
c.ServerApp.jpserver_extensions = {"seat": True}
c.ServerApp.kernel_manager_class = "seat.FewKernels"
c.MappingKernelManager.cull_idle_timeout = 3600         # seconds
c.MappingKernelManager.cull_interval = 300
c.KernelManager.transport_encryption = "auto"       # else another user of this machine could listen to what a kernel prints
