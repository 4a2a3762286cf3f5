"""Read by each kernel of a student at its start: where the memory is used up, a sentence says so."""


def _tell():
    import sys

    from IPython import get_ipython

    def out_of_memory(shell, kind, error, trace, tb_offset=None):
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            print("Your seat has no more memory: restart the kernel (Kernel, Restart Kernel), and make the tensors smaller.",
                  file=sys.stderr)

    shell = get_ipython()
    shell.set_custom_exc((MemoryError, RuntimeError), out_of_memory)


_tell()
del _tell
