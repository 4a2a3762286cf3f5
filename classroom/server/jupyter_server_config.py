"""Settings of a student's server: at most so many kernels, idle ones end, and a full disk is told in a sentence."""

c = get_config()        # type: ignore[name-defined] # noqa: F821 (Jupyter gives it)
c.ServerApp.jpserver_extensions = {"seat": True}
c.ServerApp.kernel_manager_class = "seat.FewKernels"
c.MappingKernelManager.cull_idle_timeout = 3600         # seconds
c.MappingKernelManager.cull_interval = 300
c.KernelManager.transport_encryption = "auto"       # else another user of this machine could listen to what a kernel prints
