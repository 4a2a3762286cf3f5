"""A calculator that keeps what it computed for a cell, and is called for the next structure.

Thread: https://github.com/lab-cosmo/torch-pme/issues/62, 2024-09-25
Message: RuntimeError: Trying to backward through the graph a second time (or directly access saved …
Cause: the cache compares cells by their values, and gives back a tensor with the graph of the first call
Case: 1
Guilty: self._filter, made in KSpaceFilter.update for the first structure, whose graph the first backward freed
"""

import torch


class KSpaceFilter:
    def __init__(self, smearing):
        self.smearing = smearing
        self._cell = None
        self._filter = None

    def update(self, cell):
        if self._cell is None or not torch.equal(self._cell, cell):
            k = 2 * torch.pi * torch.linalg.inv(cell).sum(0)
            self._filter = torch.exp(-0.5 * self.smearing**2 * k.square()) / k.square()
            self._cell = cell.detach().clone()
        return self._filter


class Potential:
    def __init__(self, smearing=1.0):
        self.kspace = KSpaceFilter(smearing)

    def __call__(self, positions, charges, cell):
        density = (charges * torch.cos(positions)).sum(0)
        return (self.kspace.update(cell) * density.square()).sum()


def forces(calculator, n_atoms=20):
    positions = (5 * torch.rand(n_atoms, 3)).requires_grad_()
    cell = (5 * torch.eye(3)).requires_grad_()
    energy = calculator(positions, torch.rand(n_atoms, 1), cell)
    energy.backward()
    return -positions.grad, cell.grad


if __name__ == "__main__":
    calculator = Potential()
    for structure in range(2):
        force, stress = forces(calculator)
        print(structure, force.norm().item(), stress.norm().item())
